"""The text of a message about one event, or several of the same camera and type."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from core.api_schema import Channel, Event

MAX_EVENT_IDS = 500  # listed in one message; the count includes all


@dataclass(frozen=True)
class Message:
    """One message over one channel. `id` is the same for every attempt, so that receivers can detect repetitions."""

    id: str
    rule: str
    channel: Channel
    event: Event  # the newest
    count: int = 1
    first: datetime | None = None  # when the first event started
    events: tuple[str, ...] = ()
    test: bool = False

    def subject(self) -> str:
        event = self.event
        times = f" ×{self.count}" if self.count > 1 else ""
        text = f"{event.camera_name or event.camera}: {event.type}{times}, priority {event.priority.value}"
        return " ".join(f"{'Test: ' if self.test else ''}{text}".split())

    def text(self, zone: ZoneInfo) -> str:
        """The text of a mail, with times in `zone`."""
        event = self.event
        lines = [
            ("Camera", f"{event.camera_name} ({event.camera})" if event.camera_name else event.camera),
            ("Product", event.product),
            ("Note", event.note),
            ("Zone", event.zone),
            ("Type", event.type),
            ("Priority", event.priority.value),
            ("Began", _format_local(event.started, zone)),
            (
                "Events",
                f"{self.count} since {_format_local(self.first, zone)}" if self.first and self.count > 1 else "",
            ),
            ("Score", f"{event.score:.2f} (from {event.threshold:.2f})"),
            (
                "Found",
                ", ".join(f"{n} {label}" for label, n in Counter(fact.label for fact in event.facts).most_common()),
            ),
            ("What", event.analysis.description),
            ("Said by", event.analysis.backend if event.analysis.description else ""),
            ("Event", event.id),
        ]
        text = "\n".join(f"{f'{name}:':<10}{' '.join(value.split())}" for name, value in lines if value)
        return f"This is a test of the rule {self.rule}.\n\n{text}" if self.test else text

    def payload(self) -> bytes:
        """The message as JSON, identical for every attempt."""
        content: dict[str, Any] = {
            "id": self.id,
            "rule": self.rule,
            "test": self.test,
            "count": self.count,
            "first": (self.first or self.event.started).isoformat(),
            "events": list(self.events) or [self.event.id],
            "event": self.event.model_dump(mode="json"),
        }
        return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()


def _format_local(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
