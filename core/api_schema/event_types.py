"""The types of events: what was seen, whichever detector saw it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator

from core.api_schema.base import Slug

EVENT_TYPES = {"motion": "motion", "memory": "anomaly", "onnx": "anomaly", "persons": "person"}
"""By detector."""

DEFECT = "defect"
"""The type of an inspection's event."""
INSPECTION = "inspection"
"""The camera and the detector of an inspection's event; no camera has this id."""

SINCE_API = 3
"""The API version since which types are these; before, the detector's own word was the type."""


def event_type(word: str) -> str:
    """The type of a detector's events. A type stays as it is, and one of an older xaiva becomes today's."""
    return EVENT_TYPES.get(word, word)


def event_types(words: Iterable[str]) -> tuple[str, ...]:
    """As `event_type`, for several; each type once."""
    return tuple(dict.fromkeys(map(event_type, words)))


def old_event_types(types: Iterable[str]) -> tuple[str, ...]:
    """The types with the older words for each: what a service of API version 2 needs in a rule."""
    wanted = event_types(types)
    return (*wanted, *(old for old, new in EVENT_TYPES.items() if new in wanted and old not in wanted))


def counts_by_type(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by type, where older words are added to today's."""
    totals: dict[str, int] = {}
    for word, count in counts.items():
        totals[event_type(word)] = totals.get(event_type(word), 0) + count
    return totals


EventType = Annotated[Slug, AfterValidator(event_type)]
SeenType = Annotated[str, AfterValidator(event_type)]
