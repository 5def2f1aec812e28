"""Turns errors into HTTP responses: a status code and a `Problem`.

Only the parts of a request that `core.validation_errors` shows are repeated, because it may contain a password.
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
from core.inference.inspection.banks import NoBank
from core.inference.inspection.inspections import UnknownInspection
from core.inference.inspection.picture_store import PictureGone
from core.inference.inspection.products import UnknownProduct
from core.inference.jobs.learn import AlreadyLearning, NotRunning
from core.inference.jobs.service import JobBusy, JobNotRetryable, UnknownJob
from core.inference.model_pool.load_errors import LoadFailed, NoRoom
from core.inference.models.memory_bank import BrokenBank, NotLearned
from core.inference.notifications.rule_store import RuleExists, UnknownRule
from core.inference.storage.model import KeyConflict, NoObject, StorageDown, StorageRefused
from core.operations.database import LedgerError
from core.validation_errors import describe_error

logger = logging.getLogger(__name__)


class InsufficientRole(XaivaError):
    """The caller is known, but its role does not allow this."""


class NotFound(InputError):
    """The event, clip or picture does not exist."""


class NotReady(XaivaError):
    """It exists, but this is not possible in its current state."""


class RangeNotSatisfiable(InputError):
    """The requested byte range does not exist. `size`: bytes that there are."""

    def __init__(self, size: int, why: str, remedy: str) -> None:
        super().__init__("Range", why, remedy)
        self.size = size


# The first match counts.
_STATUS_CODES: tuple[tuple[type[XaivaError], int], ...] = (
    (Unauthorised, 401),
    (InsufficientRole, 403),
    (UnknownCamera, 404),
    (UnknownUser, 404),
    (UnknownRule, 404),
    (NotFound, 404),
    (UnknownProduct, 404),
    (UnknownInspection, 404),
    (UnknownJob, 404),
    (NoObject, 404),
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
    (NoBank, 409),
    (PictureGone, 409),
    (JobBusy, 409),
    (JobNotRetryable, 409),
    (KeyConflict, 409),
    (RangeNotSatisfiable, 416),
    (TooManyRequests, 429),
    (InputError, 422),
    (DatabaseError, 503),
    (LedgerError, 503),
    (StorageDown, 503),
    (StorageRefused, 503),
    (XaivaError, 500),
)

_MEANINGS = {
    400: "The request cannot be read",
    401: "The token is missing or invalid",
    403: "The caller's role does not allow this",
    404: "It does not exist",
    405: "The address does not support the method",
    409: "It conflicts with the current state",
    413: "The request is too large",
    416: "The requested byte range does not exist",
    422: "A value is invalid",
    429: "Too many attempts or requests; Retry-After says after how many seconds to try again",
    500: "An unexpected error, or the disk cannot be written",
    503: "The service, its database, its ledger of jobs or its object storage is not ready",
}

COMMON_CODES = (400, 405, 413, 422, 429, 500, 503)


def problem_responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of these error codes; the body of each is a `Problem`."""
    return {code: {"model": Problem, "description": _MEANINGS[code]} for code in codes}


def install(app: FastAPI, routes: Iterable[APIRoute]) -> None:
    """Make every error of `app` a Problem. `routes` are all its routes."""
    app.state.routes = routes
    app.add_exception_handler(XaivaError, _handle_xaiva_error)
    app.add_exception_handler(RequestValidationError, _handle_invalid_request)
    app.add_exception_handler(HTTPException, _handle_http_error)


def _problem_response(code: int, problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem.model_dump(), status_code=code, headers=headers)


async def _handle_xaiva_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, XaivaError)
    code = next(code for kind, code in _STATUS_CODES if isinstance(error, kind))
    if code == 500 or isinstance(error, LedgerError):
        logger.error("%s", error)
    if isinstance(error, DatabaseError) and not hasattr(request.state, "caller"):  # the caller may be a stranger
        logger.warning("%s", error)
        problem = Problem(what="The database", why="it does not answer", remedy="try again later; the log says more")
        return _problem_response(code, problem)
    return _problem_response(code, Problem(what=error.what, why=error.why, remedy=error.remedy), _headers(error))


def _headers(error: XaivaError) -> dict[str, str] | None:
    if isinstance(error, Unauthorised):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, JobBusy):
        return {"Location": f"/jobs/{error.holder}"}
    if isinstance(error, RangeNotSatisfiable):
        return {"Content-Range": f"bytes */{error.size}"}
    return {"Retry-After": str(error.retry_after)} if isinstance(error, TooManyRequests) else None


async def _handle_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    field, why = describe_error(error.errors()[0])
    return _problem_response(422, Problem(what=field, why=why, remedy="see /openapi.json for the correct form"))


async def _handle_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    problem = Problem(what="Request", why=str(error.detail), remedy="see /openapi.json")
    if error.status_code == 405:
        return _problem_response(405, problem, {"Allow": ", ".join(_allowed_methods(request))})
    return _problem_response(error.status_code, problem)


def _allowed_methods(request: Request) -> list[str]:
    """The methods of all routes of an address; the framework names only those of the first."""
    routes: Iterable[APIRoute] = request.app.state.routes
    fitting = [route.methods or set() for route in routes if route.path_regex.match(request.url.path)]
    return sorted({method for methods in fitting for method in methods})


def unexpected_error_response() -> JSONResponse:
    """The response to an unexpected error. The details are in the log."""
    return _problem_response(500, Problem(what="The service", why="an unexpected error", remedy="its log says more"))


def stopping_response() -> JSONResponse:
    """The response to a request that is still running when the service stops."""
    return _problem_response(
        503, Problem(what="The service", why="it is being stopped", remedy="try again when it is running")
    )
