"""Errors as answers: a status code and a `Problem`. Nothing of a request is echoed, for it may hold a password."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from core.errors import InputError, XaivaError
from core.inference.api.access import Unauthorised
from core.inference.cameras.manager import CameraExists, TooManyCameras, UnknownCamera
from core.inference.cameras.pipeline import NoPicture
from core.inference.schemas import Problem

# The first that fits counts.
_CODES: tuple[tuple[type[XaivaError], int], ...] = (
    (Unauthorised, 401),
    (UnknownCamera, 404),
    (CameraExists, 409),
    (TooManyCameras, 409),
    (NoPicture, 409),
    (InputError, 422),
    (XaivaError, 500),
)


def install(app: FastAPI) -> None:
    """Make every error of `app` a Problem."""
    app.add_exception_handler(XaivaError, _xaiva)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _answer(code: int, problem: Problem) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if code == 401 else None
    return JSONResponse(problem.model_dump(), status_code=code, headers=headers)


async def _xaiva(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, XaivaError)
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    return _answer(code, Problem(what=error.what, why=error.why, remedy=error.remedy))


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return _answer(422, Problem(what=field, why=str(first["msg"]), remedy="see /openapi.json for the form"))


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _answer(error.status_code, Problem(what="Request", why=str(error.detail), remedy="see /openapi.json"))


async def _unexpected(_request: Request, _error: Exception) -> JSONResponse:
    return _answer(500, Problem(what="The service", why="an unexpected error", remedy="its log says more"))
