"""The HTTP interface of the service. CORS stays closed: no browser page of another origin may ask it."""

from __future__ import annotations

import asyncio
import hmac
import threading
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse

from core.errors import InputError, XaivaError
from core.inference.cameras.manager import CameraExists, TooManyCameras, UnknownCamera
from core.inference.cameras.pipeline import NoPicture
from core.inference.schemas import CameraRequest, CameraStatus, Health, Problem, ServiceStatus
from core.inference.service import InferenceService, version

STREAM_SECONDS = 1.0  # between two statuses of a stream; a reader that is slower gets the newest, never a backlog
_PROBLEM: dict[int | str, dict[str, object]] = {code: {"model": Problem} for code in (401, 404, 409, 422, 503)}
# Order matters: the first class that fits decides.
_CODES: list[tuple[type[XaivaError], int]] = [
    (UnknownCamera, 404),
    (CameraExists, 409),
    (TooManyCameras, 409),
    (NoPicture, 409),
    (InputError, 422),
    (XaivaError, 503),
]


class _Unauthorised(Exception):
    """The caller has not shown the token."""


def make_application(service: InferenceService, stopping: threading.Event, token: str = "") -> FastAPI:
    """The application over a service. `stopping` ends the streams; with a `token` all but /health ask for it."""
    application = FastAPI(title="xaiva inference service", version=version(), responses=_PROBLEM)

    async def authorised(request: Request) -> None:
        given = request.headers.get("authorization", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise _Unauthorised

    @application.exception_handler(XaivaError)
    async def refused(_request: Request, error: XaivaError) -> JSONResponse:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        return _problem(code, error.what, error.why, error.remedy)

    @application.exception_handler(_Unauthorised)
    async def unauthorised(_request: Request, _error: _Unauthorised) -> JSONResponse:
        return _problem(401, "Not authorised", "this service asks for its token", "send it as a bearer token")

    @application.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        # The input itself is never said again: a camera's source may hold a password.
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return _problem(422, f"Request: {field}", str(first["msg"]), "see /docs for what it takes")

    @application.get("/health")
    def health(response: Response) -> Health:
        found = service.health()
        response.status_code = 200 if found.live else 503
        return found

    application.include_router(_routes(service, stopping), dependencies=[Depends(authorised)])
    return application


def _routes(service: InferenceService, stopping: threading.Event) -> APIRouter:
    router = APIRouter()

    @router.get("/status")
    def status() -> ServiceStatus:
        return service.status()

    @router.get("/status/stream", response_class=StreamingResponse)
    async def stream() -> StreamingResponse:
        return StreamingResponse(_statuses(service, stopping), media_type="text/event-stream")

    @router.post("/cameras", status_code=201)
    def add_camera(request: CameraRequest) -> CameraStatus:
        return service.add_camera(request)

    @router.delete("/cameras/{camera}", status_code=204)
    def remove_camera(camera: str) -> None:
        service.remove_camera(camera)

    @router.get("/cameras/{camera}/snapshot", response_class=Response)
    def snapshot(camera: str) -> Annotated[Response, "a JPEG"]:
        return Response(service.snapshot(camera), media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    return router


async def _statuses(service: InferenceService, stopping: threading.Event) -> AsyncIterator[str]:
    while not stopping.is_set():
        status = await asyncio.to_thread(service.status)
        yield f"data: {status.model_dump_json()}\n\n"
        await asyncio.sleep(STREAM_SECONDS)


def _problem(code: int, what: str, why: str, remedy: str) -> JSONResponse:
    return JSONResponse(Problem(what=what, why=why, remedy=remedy).model_dump(), status_code=code)
