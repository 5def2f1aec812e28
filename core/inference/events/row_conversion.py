"""Converts an event to a row of the database, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.api_schema import Analysis, Clip, Event, Priority
from core.inference.database.models import EventRow

_NESTED: dict[str, type[Clip] | type[Analysis]] = {"clip": Clip, "analysis": Analysis}
_COLUMNS = tuple(column.key for column in EventRow.__table__.columns)


def field_columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _NESTED:
            columns |= {f"{name}_{part}": _storable(getattr(value, part)) for part in _NESTED[name].model_fields}
        elif name == "priority":
            columns[name] = value.rank
        elif isinstance(value, list):
            columns[name] = [item.model_dump(mode="json") for item in value]
        else:
            columns[name] = _storable(value)
    return columns


def event_columns(event: Event) -> dict[str, Any]:
    return field_columns({name: getattr(event, name) for name in Event.model_fields})


def event_from_row(row: EventRow) -> Event:
    values = {name: getattr(row, name) for name in _COLUMNS}
    for name, model in _NESTED.items():
        values[name] = {part: values.pop(f"{name}_{part}") for part in model.model_fields}
    values["priority"] = Priority.of_rank(row.priority)
    return Event.model_validate(values)


def _storable(value: Any) -> Any:
    """The value, in a text without NUL and lone surrogates: PostgreSQL refuses them, and a model may answer them."""
    if isinstance(value, str):
        text = str(getattr(value, "value", value))
        return text.replace("\0", "").encode("utf-8", "replace").decode()
    return value
