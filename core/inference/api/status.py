"""The status of the service, once or as a stream, and its models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from core.inference.api import sse
from core.inference.api.access import Asking, Service, at_least, bearer_of
from core.inference.api.threads import STATUS, routes_in, run_in
from core.inference.api.views import ledger_for, status_for
from core.inference.schemas import LedgerStatus, Role, ServiceStatus

router = APIRouter(tags=["status"], route_class=routes_in(STATUS))


@router.get("/status", **at_least(Role.VIEWER))
def status(service: Service, caller: Asking) -> ServiceStatus:
    """A snapshot of the service and the cameras that the caller may see."""
    return status_for(service, caller)


@router.get("/status/stream", response_class=Response, **at_least(Role.VIEWER, content=sse.CONTENT))
async def stream(
    request: Request, service: Service, interval: Annotated[float, Query(ge=0.2, le=60)] = 1.0
) -> Response:
    """A snapshot every `interval` seconds as `data:` of a server-sent event, a comment as heartbeat in longer pauses.

    A snapshot is taken when the line can carry it: a slow reader gets fewer, never old ones. The stream ends with the
    access token that opened it.
    """
    bearer = bearer_of(request)

    def snapshot() -> str:
        caller = service.accounts.caller(bearer)  # asked each time: who was shut out sees nothing more
        return status_for(service, caller).model_dump_json()

    async def wait() -> str:
        return await run_in(STATUS, snapshot)

    return sse.EventStream(sse.every(interval, wait, request.app.state.closing))


@router.get("/models", **at_least(Role.VIEWER))
def models(service: Service, caller: Asking) -> LedgerStatus:
    """The models and the memory they share."""
    ledger = service.pool.status()
    if caller.cameras is None:
        return ledger
    return ledger_for(ledger, [one for one in service.cameras.statuses() if caller.sees(one.id)])
