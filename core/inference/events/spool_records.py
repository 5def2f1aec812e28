"""Spool records: an event, or a change to one, as JSON with a checksum."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pydantic import ValidationError

from core.api_schema import Event
from core.errors import InputError
from core.validation_errors import first_problem

_CHECKSUM_DIGITS = 8  # hexadecimal digits of the CRC-32 over the JSON text, then a space
_BLANK_EVENT = Event(
    id="",
    camera="",
    type="",
    started=datetime.fromtimestamp(0, timezone.utc),
    decided=datetime.fromtimestamp(0, timezone.utc),
    score=0,
)


@dataclass(frozen=True)
class Record:
    """`fields` holds the complete event if it is `new`, else the changed fields, as JSON. `at` is a Unix time."""

    event: str
    new: bool
    at: float
    fields: Mapping[str, Any]

    def applied_to(self, event: Event | None) -> Event | None:
        """The event with this record applied; None for a change without an event."""
        if self.new:
            return event or Event.model_validate(self.fields)
        return event and Event.model_validate({**event.model_dump(), **self.fields})


def event_record(event: Event) -> Record:
    """The record of a new event. Raises InputError if it could not be read back."""
    return Record(event.id, True, time.time(), _validated(event).model_dump(mode="json"))


def change_record(event: str, fields: Mapping[str, object]) -> Record:
    """The record of a change. Raises TypeError for an unknown field, InputError for an invalid value."""
    unknown = fields.keys() - (Event.model_fields.keys() - {"id"})
    if unknown:
        raise TypeError(f"an event has no {', '.join(sorted(unknown))} that could change")
    validated = _validated({**_BLANK_EVENT.model_dump(), **fields})
    return Record(event, False, time.time(), validated.model_dump(mode="json", include=set(fields)))


def changed_fields(record: Record) -> dict[str, Any]:
    """The changed fields as attributes of an event; skips fields that only a newer version knows."""
    event = Event.model_validate({**_BLANK_EVENT.model_dump(), **record.fields})
    return {name: getattr(event, name) for name in record.fields if name in Event.model_fields}


def encode(record: Record) -> bytes:
    """The record as a line. Raises InputError for a number that JSON does not have."""
    content = {"event": record.event, "new": record.new, "at": record.at, "fields": record.fields}
    try:
        text = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise InputError(f"Event {record.event}", f"it cannot be stored: {error}") from error
    return b"%08x %b\n" % (zlib.crc32(text), text)


def decode(line: bytes) -> Record:
    """The record of a complete line. Raises ValueError when it is damaged."""
    text = line[_CHECKSUM_DIGITS + 1 : -1]
    if line[-1:] != b"\n" or line[: _CHECKSUM_DIGITS + 1] != b"%08x " % zlib.crc32(text):
        raise ValueError("the checksum does not fit")
    return Record(**json.loads(text))


def _validated(event: Event | dict[str, Any]) -> Event:
    """The event as it will be read back. Raises InputError."""
    values = event.model_dump() if isinstance(event, Event) else event
    try:
        event = Event.model_validate(values)
    except ValidationError as error:
        field, why = first_problem(error)
        raise InputError(f"Event field {field}", why) from error
    for name, word in (("priority", event.priority), ("analysis.state", event.analysis.state)):
        if not word.is_known:
            raise InputError(f"Event field {name}", f"{word.word!r} is not one of its values")
    return event
