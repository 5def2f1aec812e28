"""The prompts that ask the analyser about an event."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from core.api_schema import Event, Fact
from core.inference.models.analysis.language_model import Prompt

# The types that the analyser may give an event; for any other answer the detector's type stays.
EVENT_TYPES = (
    "person",
    "crowd",
    "intrusion",
    "fight",
    "fall",
    "vehicle",
    "animal",
    "fire",
    "smoke",
    "object_left",
    "object_removed",
    "camera_blocked",
    "weather",
    "nothing",
    "other",
)
MAX_DESCRIPTION = 300  # characters

_SYSTEM = (
    "You look at the picture of a surveillance camera in which something unusual was noticed, and at what a detector "
    "found in it. Say what happens in one or two plain sentences, choose the type that fits best, and how sure you "
    "are from 0 to 1. Say only what can be seen. Answer with one JSON object."
)
_SYSTEM_WITHOUT_PICTURE = (
    "A surveillance camera noticed something unusual. You are told what a detector found in its picture. Say it in one "
    "plain sentence, choose the type that fits best, and how sure you are from 0 to 1. Answer with one JSON object."
)
_SYSTEM_INSPECTION = (
    "You look at the picture of a product on a production line that an inspection found defective. Say in one or two "
    "plain sentences what is wrong with it and where, and how sure you are from 0 to 1. Say only what can be seen. "
    "Answer with one JSON object."
)
_EXAMPLES = (
    (
        "Camera: Yard\nFound: 2 person",
        {"type": "person", "description": "Two persons are in the yard.", "confidence": 0.8},
    ),
    ("Camera: Road\nFound: 1 truck", {"type": "vehicle", "description": "A truck is on the road.", "confidence": 0.7}),
    (
        "Camera: Hall\nFound: nothing known",
        {"type": "other", "description": "Something changed in the hall; nothing known was found.", "confidence": 0.2},
    ),
)


@dataclass(frozen=True)
class Question:
    """An event that the analyser is asked about."""

    event: Event
    facts: tuple[Fact, ...] = ()
    picture: bytes | None = None  # the snapshot as JPEG


def format_facts(facts: Sequence[Fact]) -> str:
    """The facts as text: `2 person, 1 truck`."""
    counts = Counter(fact.label for fact in facts)
    return ", ".join(f"{count} {label}" for label, count in counts.most_common()) or "nothing known"


def analysis_prompt(question: Question, sees: bool) -> Prompt:
    """The prompt that describes an event; without the picture when the model does not see (`sees`)."""
    event = question.event
    picture = question.picture if sees else None
    lines = [f"Product: {event.product}" if event.product else f"Camera: {event.camera_name or event.camera}"]
    if picture is not None:
        lines.append(f"Time: {event.decided:%Y-%m-%d %H:%M} UTC")
        lines.append(
            f"Noticed by: {event.detector or event.type}, score {event.score:.2f} (from {event.threshold:.2f})"
        )
        if event.zone:
            lines.append(f"Zone: {event.zone}")
    lines.append(f"Found: {format_facts(question.facts)}")
    return Prompt(
        system=_system(event, picture is not None),
        text="\n".join(lines),
        schema=_object_schema(
            type={"type": "string", "enum": list(EVENT_TYPES)},
            description={"type": "string", "maxLength": MAX_DESCRIPTION},
            confidence={"type": "number", "minimum": 0, "maximum": 1},
        ),
        picture=picture,
        examples=() if picture is not None else _examples(),
    )


def _system(event: Event, with_picture: bool) -> str:
    if not with_picture:
        return _SYSTEM_WITHOUT_PICTURE
    return _SYSTEM_INSPECTION if event.product else _SYSTEM


def choice_prompt(question: str, event: Event, options: Sequence[str]) -> Prompt:
    """The prompt that asks for one of `options` for an event."""
    lines = [
        f"Camera: {event.camera_name or event.camera}",
        f"Event: {event.type}, priority {event.priority.value}, score {event.score:.2f}",
        f"Found: {format_facts(event.facts)}",
    ]
    if event.analysis.description:
        lines.append(f"What happens: {event.analysis.description}")
    lines += [f"Question: {question}", f"Choose one of: {', '.join(options)}"]
    return Prompt(
        system="You decide what is done about an event of a surveillance camera. Answer with one JSON object.",
        text="\n".join(lines),
        schema=_object_schema(choice={"type": "string", "enum": list(options)}),
        max_tokens=60,
    )


def _examples() -> tuple[tuple[str, str], ...]:
    return tuple((text, json.dumps(answer)) for text, answer in _EXAMPLES)


def _object_schema(**properties: JsonValue) -> dict[str, JsonValue]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
