"""What a value should be, in words: the one way in which errors of pydantic are told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_KINDS = {  # the beginning of pydantic's error type → what the value should be
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a number",
    "bool": "true or false",
    "string_type": "a text",
    "datetime": "a date and time such as 2026-01-31T12:00:00Z",
    "timezone": "a date and time with its zone, such as 2026-01-31T12:00:00Z",
    "date": "a date such as 2026-01-31",
    "time_delta": "a number of seconds",
    "time": "a time of day such as 18:00",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "an object",
    "model": "an object",
    "uuid": "an id such as 01234567-89ab-cdef-0123-456789abcdef",
    "url": "an address",
}
_PATTERNS = {  # what the patterns of names allow
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$": "letters, digits, . _ and -, up to 63, the first a letter or a digit",
    r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$": "letters, digits, . _ @ and -, up to 63, the first a letter or a digit",
    r"^[a-z0-9][a-z0-9_-]{0,39}$": "small letters, digits, _ and -, up to 40, the first a letter or a digit",
    r"^([A-Z][A-Z0-9_]*)?$": "the name of a variable: capitals, digits and _",
}
_LIMITS = {  # pydantic's error type → words with its limit
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "string_too_short": "it is shorter than {min_length} characters",
    "string_too_long": "it is longer than {max_length} characters",
    "too_short": "it has fewer than {min_length} entries",
    "too_long": "it has more than {max_length} entries",
}
_SHOWN = 40  # characters of a value that are repeated
_SECRET = re.compile(r"password|secret|token|current|new|refresh|source|^to$|url|key", re.I)  # fields never repeated


class RepeatedKey(ValueError):
    """A key that stands twice in one JSON object."""


def unique_keys(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, as an `object_pairs_hook`: of two values `json` would drop the first. Raises RepeatedKey."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RepeatedKey(f"the key {json.dumps(key[:_SHOWN])} is given twice in one object")
        found[key] = value
    return found


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The first field that is wrong, "" for the whole, and why."""
    first = error.errors(include_url=False)[0]
    return field_of(first), problem_words(first)


def field_of(detail: ErrorDetails | Mapping[str, Any]) -> str:
    """The field's name, with dots: `detection.threshold`."""
    return ".".join(str(part) for part in detail["loc"])


def problem_words(detail: ErrorDetails | Mapping[str, Any]) -> str:
    """Why a value is refused: what was given, unless it may hold a secret, and what is expected."""
    kind, context = str(detail["type"]), detail.get("ctx") or {}
    if kind == "missing":
        return "it is missing"
    if kind == "extra_forbidden":
        return "there is no such field"
    if kind == "json_invalid":
        return "it is not valid JSON"
    if kind in ("too_short", "too_long") and isinstance(detail.get("input"), str):
        kind = f"string_{kind}"  # a password counts as a list of characters
    if kind in _LIMITS:
        return _LIMITS[kind].format(**context)
    if kind in ("literal_error", "enum"):
        return f"{_given(detail)} is none of {str(context['expected']).replace(chr(39), '')}"
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return f"{_given(detail)} is not possible here: write {_PATTERNS.get(pattern, f'what fits {pattern}')}"
    for beginning, wanted in _KINDS.items():
        if kind.startswith(beginning):
            return f"{_given(detail)} is not {wanted}"
    words = str(detail["msg"]).removeprefix("Value error, ")
    return words[:1].lower() + words[1:]


def _given(detail: ErrorDetails | Mapping[str, Any]) -> str:
    """The value, when it is short and cannot be a secret."""
    if "input" not in detail:
        return "it"
    value = detail["input"]
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else str(value)
    hidden = any(_SECRET.search(str(part)) for part in detail["loc"])
    if not isinstance(value, str) or hidden or len(value) > _SHOWN or not value.isprintable() or "@" in value:
        return "it"
    return f"“{value}”"
