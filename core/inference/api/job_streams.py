"""The streams of jobs, as WebSocket and as server-sent events: one envelope, `core.api_schema.JobMessage`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, WebSocket
from pydantic import Field, JsonValue
from starlette.requests import HTTPConnection

from core.api_schema import Role
from core.api_schema.base import RequestModel
from core.api_schema.jobs import JOB_MESSAGE
from core.errors import XaivaError
from core.inference.api import sse
from core.inference.api.access import AccessRule, ResponseDocs, Service, caller_of, get_bearer_token, require_jobs_role
from core.inference.api.jobs import MAX_ID, JobId
from core.inference.api.sockets import check_again, require_jobs_socket_role, send_stream
from core.inference.api.threads import JOB_STREAMS, JOBS, routes_in, run_in
from core.inference.jobs.stream import JobStream
from core.inference.service import InferenceService

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=routes_in(JOBS))

STREAM_DOCS: ResponseDocs = {
    200: {
        "description": "Server-sent events; the data of each is a `JobMessage`, see GET /jobs/stream/schema",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "properties": {"data": {"type": "string", "contentMediaType": "application/json"}},
                }
            }
        },
    }
}
_RULE = AccessRule(Role.VIEWER, jobs=True)
_SEQ = Field(ge=0, le=MAX_ID)


class StreamQuery(RequestModel):
    """Where the stream of all jobs starts."""

    after: Annotated[int, _SEQ] | None = None
    """The seq of the last event that the reader has; the later ones are sent first."""


class JobStreamQuery(StreamQuery):
    """Where the stream of one job starts."""

    offset: Annotated[int, _SEQ] = 0
    """Of the log, as in `JobLines.next`."""


@router.get("/stream", response_class=Response, **require_jobs_role(Role.VIEWER, content=STREAM_DOCS))
async def stream(request: Request, service: Service, query: Annotated[StreamQuery, Query()]) -> Response:
    """Changes of all jobs as server-sent events, each one a `JobMessage`; a WebSocket at the same address."""
    return _server_sent(_stream(request, _recheck(request, service), after=query.after))


@router.get("/stream/schema", **require_jobs_role(Role.VIEWER))
def schema() -> dict[str, JsonValue]:
    """The JSON Schema of `JobMessage`, the envelope of the streams."""
    return JOB_MESSAGE.json_schema(mode="serialization")


@router.get("/{job}/stream", response_class=Response, **require_jobs_role(Role.VIEWER, 404, content=STREAM_DOCS))
async def job_stream(
    request: Request, service: Service, job: JobId, query: Annotated[JobStreamQuery, Query()]
) -> Response:
    """Changes of one job, with its log, until it has ended; a WebSocket at the same address."""
    await run_in(JOBS, lambda: service.jobs.get(job))
    recheck = _recheck(request, service)
    return _server_sent(_stream(request, recheck, job=job, after=query.after, offset=query.offset))


@router.websocket("/stream", **require_jobs_socket_role(Role.VIEWER, StreamQuery))
async def socket(websocket: WebSocket) -> None:
    """Changes of all jobs."""
    query: StreamQuery = websocket.state.query
    messages = _stream(websocket, partial(check_again, websocket), after=query.after).messages()
    await send_stream(websocket, messages, websocket.app.state.closing)


@router.websocket("/{job}/stream", **require_jobs_socket_role(Role.VIEWER, JobStreamQuery))
async def job_socket(websocket: WebSocket, job: JobId) -> None:
    """Changes of one job, with its log, until it has ended."""
    query: JobStreamQuery = websocket.state.query
    recheck = partial(check_again, websocket)
    messages = _stream(websocket, recheck, job=job, after=query.after, offset=query.offset).messages()
    await send_stream(websocket, messages, websocket.app.state.closing)


def _stream(
    connection: HTTPConnection,
    check: Callable[[], Awaitable[object]],
    *,
    job: int = 0,
    after: int | None = None,
    offset: int = 0,
) -> JobStream:
    service: InferenceService = connection.app.state.service
    closing = connection.app.state.closing
    return JobStream(service.jobs, partial(run_in, JOB_STREAMS), check, closing, job=job, after=after, offset=offset)


def _recheck(request: Request, service: InferenceService) -> Callable[[], Awaitable[object]]:
    """Raises when the token of the request is no longer valid, or its user may no longer see jobs."""
    bearer = get_bearer_token(request)

    async def check() -> None:
        _RULE.check(await caller_of(service, bearer))

    return check


def _server_sent(stream: JobStream) -> Response:
    async def events() -> AsyncIterator[str]:
        try:
            async with aclosing(stream.messages()) as messages:
                async for message in messages:
                    yield sse.format_event(message.model_dump_json())
        except XaivaError:
            return  # a client that may still read connects again

    return sse.EventStream(events())
