"""The status of the service, once or as a stream, and its models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from core.api_schema import LedgerStatus, Role, ServiceStatus
from core.inference.api import sse
from core.inference.api.access import CurrentCaller, Service, get_bearer_token, require_role
from core.inference.api.threads import STATUS, routes_in, run_in
from core.inference.api.visibility import visible_ledger, visible_status

router = APIRouter(tags=["status"], route_class=routes_in(STATUS))


@router.get("/status", **require_role(Role.VIEWER))
def status(service: Service, caller: CurrentCaller) -> ServiceStatus:
    """A snapshot of the service and the cameras that the caller may see."""
    return visible_status(service, caller)


@router.get("/status/stream", response_class=Response, **require_role(Role.VIEWER, content=sse.EVENT_STREAM_DOCS))
async def stream(
    request: Request, service: Service, interval: Annotated[float, Query(ge=0.2, le=60)] = 1.0
) -> Response:
    """A snapshot every `interval` seconds as a server-sent event, with a comment as heartbeat in longer pauses.

    A slow reader gets fewer snapshots, never outdated ones. The stream ends with the access token that opened it.
    """
    bearer = get_bearer_token(request)

    def snapshot() -> str:
        caller = service.auth.caller(bearer)  # checked each time, so that a revoked caller sees nothing more
        return visible_status(service, caller).model_dump_json()

    async def wait() -> str:
        return await run_in(STATUS, snapshot)

    return sse.EventStream(sse.poll_every(interval, wait, request.app.state.closing))


@router.get("/models", **require_role(Role.VIEWER))
def models(service: Service, caller: CurrentCaller) -> LedgerStatus:
    """The models and the memory they use."""
    ledger = service.pool.status()
    if caller.cameras is None:
        return ledger
    return visible_ledger(ledger, [camera for camera in service.cameras.statuses() if caller.sees(camera.id)])
