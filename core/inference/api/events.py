"""Events over HTTP: list, show, acknowledge, protect, and the stream of new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from core.api_schema import Acknowledge, Acknowledged, Event, EventPage, EventQuery, Protect, Role
from core.inference.api import sse
from core.inference.api.access import CurrentCaller, Service, get_bearer_token, require_role
from core.inference.api.event_path import EVENT_PATH, EventId, visible_event
from core.inference.api.threads import DATABASE, routes_in, run_in
from core.inference.auth import Unauthorised
from core.inference.bulkhead import TooManyRequests
from core.inference.database.errors import DatabaseError
from core.inference.service import InferenceService

router = APIRouter(prefix="/events", tags=["events"], route_class=routes_in(DATABASE))

MAX_STREAM_BACKLOG = (
    1000  # events that wait for a slow reader of the stream; more end it, and the reader reads the list again
)


@router.get("", **require_role(Role.VIEWER))
def events(service: Service, caller: CurrentCaller, query: Annotated[EventQuery, Query()]) -> EventPage:
    """A page of events from cameras that the caller may see. `next` is the `cursor` of the following page."""
    return service.events.page(cameras=caller.access, query=query)


@router.get("/stream", response_class=Response, **require_role(Role.VIEWER, content=sse.EVENT_STREAM_DOCS))
async def stream(request: Request, service: Service) -> Response:
    """New and changed events as server-sent events. The stream ends with the access token."""
    return sse.EventStream(_new_events(service, get_bearer_token(request), request.app.state.closing))


@router.post("/acknowledge", **require_role(Role.OPERATOR))
def acknowledge(service: Service, caller: CurrentCaller, body: Acknowledge) -> Acknowledged:
    """Acknowledge events. Unknown, invisible and already acknowledged events are not counted."""
    return Acknowledged(count=service.events.acknowledge(body.ids, caller.name, body.note, caller.access))


@router.get(EVENT_PATH, **require_role(Role.VIEWER, 404))
def event(service: Service, caller: CurrentCaller, event: EventId) -> Event:
    """Everything about one event."""
    return visible_event(service, caller, event)


@router.put(f"{EVENT_PATH}/protected", **require_role(Role.OPERATOR, 404))
def protect(service: Service, caller: CurrentCaller, event: EventId, body: Protect) -> Event:
    """Set or remove the protection of an event's clip and picture from deletion."""
    visible_event(service, caller, event)
    service.events.protect(event, body.protected)
    return visible_event(service, caller, event)


async def _new_events(service: InferenceService, bearer: str, closing: asyncio.Event) -> AsyncIterator[str]:
    """New events from the logger that the caller may see."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Event] = asyncio.Queue(MAX_STREAM_BACKLOG)

    def enqueue(event: Event) -> None:
        if not queue.full():  # a full queue ends the stream: a stalled reader must not fill the memory
            queue.put_nowait(event)

    def on_event(event: Event) -> None:
        loop.call_soon_threadsafe(enqueue, event)

    unsubscribe = service.logger.subscribe(on_event)
    try:
        yield sse.HEARTBEAT  # from here on no event is missed
        while not closing.is_set() and not queue.full():
            try:
                event = await asyncio.wait_for(queue.get(), 1.0)
            except asyncio.TimeoutError:
                event = None
            caller = await run_in(DATABASE, lambda: service.auth.caller(bearer))
            if event is None:
                yield sse.HEARTBEAT
            elif caller.sees(event.camera):
                yield sse.format_event(event.model_dump_json())
    except (Unauthorised, DatabaseError, TooManyRequests):
        return  # a client that may still read connects again
    finally:
        unsubscribe()
