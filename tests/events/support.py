"""Events to log."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timezone

from core.api_schema import Event, Priority
from core.inference.events.ids import new_id

DAY = 86400.0  # seconds


def an_event(event: str = "", camera: str = "gate", **fields: object) -> Event:
    """An event of now."""
    now = datetime.now(timezone.utc)
    values: dict[str, object] = {"type": "motion", "started": now, "decided": now, "score": 0.75, "threshold": 0.5}
    return Event.model_validate({"id": event or new_id(), "camera": camera, **values, **fields})


def urgent(**fields: object) -> Event:
    """One that is written at once."""
    return an_event(priority=Priority.HIGH, **fields)


def id_of(age_days: float) -> str:
    """An id as it was made so long ago."""
    milliseconds = int((time.time() - age_days * DAY) * 1000)
    return str(uuid.UUID(int=milliseconds << 80 | uuid.UUID(new_id()).int & (1 << 80) - 1))
