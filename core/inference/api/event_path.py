"""The event id in a route's path, and the event if the caller may see it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from starlette.convertors import StringConvertor, register_url_convertor

from core.api_schema import Event
from core.inference.api.errors import NotFound
from core.inference.auth import Caller
from core.inference.service import InferenceService

EVENT_ID_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class _EventConvertor(StringConvertor):
    """Matches only event ids, so that `/events/stream` is not an event."""

    regex = EVENT_ID_PATTERN


register_url_convertor("event_id", _EventConvertor())

EVENT_PATH = "/{event:event_id}"
EventId = Annotated[str, Path(pattern=f"^{EVENT_ID_PATTERN}$")]


def visible_event(service: InferenceService, caller: Caller, event: str) -> Event:
    """Get an event. Raises NotFound also if the caller may not see its camera."""
    stored = service.events.get(event)
    if stored is None or not caller.sees(stored.camera):
        raise NotFound(f"Event {event}", "there is no event with that id", "list them: GET /events")
    return stored
