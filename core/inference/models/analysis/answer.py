"""Parses a model's answer leniently, because models follow a schema only roughly."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import XaivaError
from core.inference.models.analysis.prompts import EVENT_TYPES, MAX_DESCRIPTION

_WORD_BREAKS = re.compile(r"[^a-z0-9]+")
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)?")


class Misconfigured(XaivaError):
    """The server's key, address or model is wrong; asking again soon does not help."""


class BadAnswer(XaivaError):
    """The model answered, but nothing in the answer can be used."""


@dataclass(frozen=True)
class Verdict:
    """A parsed answer about an event."""

    type: str | None  # one of EVENT_TYPES; None when the model named no known one
    description: str
    confidence: float | None  # 0 to 1


def parse_verdict(text: str) -> Verdict:
    """Parse an answer; code fences and text around the JSON are ignored. Raises BadAnswer."""
    answer = _find_object(text)
    kind = _normalise_word(answer.get("type"))
    described = answer.get("description")
    description = " ".join(described.split()) if isinstance(described, str) else ""
    event_type = kind if kind in EVENT_TYPES else None
    if event_type is None and not description:
        raise BadAnswer("The analyser", "its answer names neither a known type nor a description", "see its log")
    return Verdict(event_type, description[:MAX_DESCRIPTION], _parse_confidence(answer.get("confidence")))


def parse_choice(text: str, options: Sequence[str]) -> str:
    """The option that the model chose. Raises BadAnswer."""
    chosen = _normalise_word(_find_object(text).get("choice"))
    for option in options:
        if _normalise_word(option) == chosen:
            return option
    raise BadAnswer("The analyser", "it chose none of the options", "give the options clearer names")


def _find_object(text: str) -> dict[str, object]:
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        if isinstance(value, dict):
            return value
        break
    raise BadAnswer("The analyser", "its answer contains no JSON object", "try a model that follows JSON schemas")


def _normalise_word(value: object) -> str:
    return _WORD_BREAKS.sub("_", value.lower()).strip("_") if isinstance(value, str) else ""


def _parse_confidence(value: object) -> float | None:
    """A confidence from 0 to 1; a number above 1 is taken as per cent."""
    if isinstance(value, str) and (number := _NUMBER.search(value)):
        value = number[0].replace(",", ".")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        value = float(value)
    except (ValueError, OverflowError):  # not a number, or one with hundreds of digits
        return None
    if not math.isfinite(value):
        return None
    share = value / 100 if value > 1 else value
    return min(1.0, max(0.0, share))
