"""`GET /status`, and the same as a stream of server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from core.inference.schemas import ServiceStatus
from core.inference.service import InferenceService

router = APIRouter()

HEARTBEAT_SECONDS = 5.0  # a silent line longer than this is a dead one to the client


@router.get("/status")
def status(request: Request) -> ServiceStatus:
    """A snapshot of the service and its cameras."""
    service: InferenceService = request.app.state.service
    return service.status()


@router.get("/status/stream")
async def stream(request: Request, interval: Annotated[float, Query(ge=0.2, le=60)] = 1.0) -> StreamingResponse:
    """A snapshot every `interval` seconds as `data:` of a server-sent event, a comment as heartbeat in longer pauses.

    A snapshot is taken when the line can carry it: a slow reader gets fewer, never old ones.
    """
    events = _events(request.app.state.service, request.app.state.closing, interval)
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _events(service: InferenceService, closing: asyncio.Event, interval: float) -> AsyncIterator[str]:
    while not closing.is_set():
        yield f"data: {service.status().model_dump_json()}\n\n"
        due = time.monotonic() + interval
        while (left := due - time.monotonic()) > 0 and not closing.is_set():
            if left > HEARTBEAT_SECONDS:
                yield ": still here\n\n"
            try:
                await asyncio.wait_for(closing.wait(), min(left, HEARTBEAT_SECONDS))
            except asyncio.TimeoutError:
                pass
