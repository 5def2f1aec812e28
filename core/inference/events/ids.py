"""Event ids: UUIDs of version 7 (RFC 9562), which sort by time."""

from __future__ import annotations

import os
import time
import uuid
from datetime import datetime, timezone

from core.errors import InputError


def new_id() -> str:
    """A new id: 48 bits of milliseconds, 12 bits of the fraction of a millisecond, 62 random bits."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    share = rest * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") >> 2
    return str(uuid.UUID(int=milliseconds << 80 | 7 << 76 | share << 64 | 2 << 62 | random))


def time_of_id(event: str) -> datetime:
    """When an id was created, to the millisecond. Raises InputError for other texts, which must not become paths."""
    try:
        number = uuid.UUID(event)
        if number.version != 7 or str(number) != event:
            raise ValueError
        return datetime.fromtimestamp((number.int >> 80) / 1000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise InputError("Event", "this is not an event id", "copy one from the list of events") from None


def is_event_id(text: str) -> bool:
    """Whether `text` has the form of `new_id`."""
    try:
        time_of_id(text)
    except InputError:
        return False
    return True
