"""Errors as HTTP responses: a status code and a `Problem`.

Of a request only what `core.validation_errors` shows is repeated, for it may hold a password.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from core.api_schema import Problem
from core.errors import InputError, XaivaError
from core.inference.auth import LastAdministrator, Unauthorised, UnknownUser, UserExists
from core.inference.bulkhead import TooManyRequests
from core.inference.cameras.admission import NoCores
from core.inference.cameras.manager import CameraExists, TooManyCameras, UnknownCamera
from core.inference.cameras.pipeline import NoPicture
from core.inference.database.errors import DatabaseError
from core.inference.jobs.learn import AlreadyLearning, NotRunning
from core.inference.model_pool.pool import LoadFailed, NoRoom
from core.inference.models.memory_bank import BrokenBank, NotLearned
from core.inference.notifications.rule_store import RuleExists, UnknownRule
from core.validation_errors import describe_error

logger = logging.getLogger(__name__)


class InsufficientRole(XaivaError):
    """The caller is known, but its role does not allow this."""


class NotFound(InputError):
    """There is no event, clip or picture of that id."""


class NotReady(XaivaError):
    """It is there, but not in a state in which this can be done."""


class RangeNotSatisfiable(InputError):
    """The bytes asked for are not there."""


# The first that fits counts.
_STATUS_CODES: tuple[tuple[type[XaivaError], int], ...] = (
    (Unauthorised, 401),
    (InsufficientRole, 403),
    (UnknownCamera, 404),
    (UnknownUser, 404),
    (UnknownRule, 404),
    (NotFound, 404),
    (CameraExists, 409),
    (TooManyCameras, 409),
    (NoCores, 409),
    (NoPicture, 409),
    (NoRoom, 409),
    (LoadFailed, 409),
    (NotLearned, 409),
    (BrokenBank, 409),
    (AlreadyLearning, 409),
    (NotRunning, 409),
    (UserExists, 409),
    (LastAdministrator, 409),
    (RuleExists, 409),
    (NotReady, 409),
    (RangeNotSatisfiable, 416),
    (TooManyRequests, 429),
    (InputError, 422),
    (DatabaseError, 503),
    (XaivaError, 500),
)

_MEANINGS = {
    400: "The request cannot be read",
    401: "No token, or one that is not good",
    403: "The caller's role does not allow it",
    404: "There is none of that name",
    405: "The address has no such method",
    409: "It does not go with the state as it is",
    413: "The request is too large",
    416: "The bytes asked for are not there",
    422: "A value cannot be used",
    429: "Too many tries, or too much at once; Retry-After says in how many seconds to ask again",
    500: "An unexpected error, or the disk refuses",
    503: "The service or its database is not ready",
}

COMMON_CODES = (400, 405, 413, 422, 429, 500, 503)


def problem_responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """These error codes for the OpenAPI document; each has a `Problem` as its body."""
    return {code: {"model": Problem, "description": _MEANINGS[code]} for code in codes}


def install(app: FastAPI, routes: Iterable[APIRoute]) -> None:
    """Make every error of `app` a Problem; `routes` are all it has."""
    app.state.routes = routes
    app.add_exception_handler(XaivaError, _handle_xaiva_error)
    app.add_exception_handler(RequestValidationError, _handle_invalid_request)
    app.add_exception_handler(HTTPException, _handle_http_error)


def _problem_response(code: int, problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem.model_dump(), status_code=code, headers=headers)


async def _handle_xaiva_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, XaivaError)
    code = next(code for kind, code in _STATUS_CODES if isinstance(error, kind))
    if code == 500:
        logger.error("%s", error)
    if isinstance(error, DatabaseError) and not hasattr(request.state, "caller"):  # as strangers learn it of /health
        logger.warning("%s", error)
        problem = Problem(what="The database", why="it does not answer", remedy="ask again later; the log says more")
        return _problem_response(code, problem)
    return _problem_response(code, Problem(what=error.what, why=error.why, remedy=error.remedy), _headers(error))


def _headers(error: XaivaError) -> dict[str, str] | None:
    if isinstance(error, Unauthorised):
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": str(error.retry_after)} if isinstance(error, TooManyRequests) else None


async def _handle_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    field, why = describe_error(error.errors()[0])
    return _problem_response(422, Problem(what=field, why=why, remedy="see /openapi.json for the form"))


async def _handle_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    problem = Problem(what="Request", why=str(error.detail), remedy="see /openapi.json")
    if error.status_code == 405:
        return _problem_response(405, problem, {"Allow": ", ".join(_allowed_methods(request))})
    return _problem_response(error.status_code, problem)


def _allowed_methods(request: Request) -> list[str]:
    """What may be done at an address: all its routes together, where the framework names the first one's."""
    routes: Iterable[APIRoute] = request.app.state.routes
    fitting = [route.methods or set() for route in routes if route.path_regex.match(request.url.path)]
    return sorted({method for methods in fitting for method in methods})


def unexpected_error_response() -> JSONResponse:
    """What is said of an error that nobody foresaw; the log has the rest."""
    return _problem_response(500, Problem(what="The service", why="an unexpected error", remedy="its log says more"))


def stopping_response() -> JSONResponse:
    """The answer to a request that is under way when the service ends."""
    return _problem_response(
        503, Problem(what="The service", why="it is being stopped", remedy="ask again when it runs")
    )
