"""Describes validation errors in plain English: the field, the given value, and what is expected."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.redaction import is_secret_name, redact_text

if TYPE_CHECKING:
    from pydantic import ValidationError

_MAX_VALUE_LENGTH = 60  # characters of a value or a key in a message
_TYPES = {  # prefix of the error type to what is expected
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "string": "a string",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "an object",
    "mapping": "an object",
    "model": "an object",
    "date_": "a date: write it as 2026-12-31",
    "datetime": "a date and time: write it as 2026-12-31T23:59:59Z",
    "timezone": "a date and time with a time zone: write it as 2026-12-31T23:59:59Z",
    "time_": "a time of day: write it as 23:59",
    "path": "a path",
    "none": "null",
}
_UNREADABLE = re.compile("_(type|parsing|from_float|aware|inexact|object_invalid)|finite_number")
_CLASS = re.compile(r"\^\(?\[([^]]+)\]\[([^]]+)\](?:\*|\{0,(\d+)\})(?:\)\?)?\$")
_RANGES = {"A-Za-z": "letters", "A-Z": "capital letters", "a-z": "small letters", "0-9": "digits"}


def first_problem(error: ValidationError) -> tuple[str, str]:
    """The first wrong field, as `format_path` writes it, and why."""
    return describe_error(error.errors(include_url=False)[0])


def every_problem(error: ValidationError) -> list[str]:
    """All wrong fields, each as `field: why`."""
    return [": ".join(filter(None, describe_error(detail))) for detail in error.errors(include_url=False)]


def describe_error(detail: Mapping[str, Any]) -> tuple[str, str]:
    """The field of a pydantic or FastAPI error, and why it cannot be used."""
    path = detail["loc"]
    if detail["type"] == "json_invalid" and path and isinstance(path[-1], int):  # FastAPI: the character
        return format_path(path[:-1]), f"{explain_error(detail)} at character {path[-1] + 1}"
    return format_path(path), explain_error(detail)


def format_path(path: tuple[int | str, ...]) -> str:
    """A path as text: `layers[0].requirements[2]`; the names of pydantic's own validators are left out."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not re.search(r"[][()]", part):
            text += f".{_key(part)}" if text else _key(part)
    return text


def explain_error(detail: Mapping[str, Any]) -> str:
    """Why a value cannot be used. An error type that is not known here keeps its own message."""
    kind, context, value = str(detail["type"]), detail.get("ctx") or {}, detail.get("input")
    value_text = describe_value(value, detail["loc"])
    if words := _explain_structure(kind, context):
        return words
    if words := _explain_choice(kind, context, value_text):
        return words
    if words := _explain_limit(kind, context, value, value_text):
        return words
    if kind == "value_error":
        return _explain_own(context, str(detail["msg"]), value_text)
    if kind == "string_pattern_mismatch":
        return f"{value_text} is not allowed here: {_describe_pattern(str(context['pattern']))}"
    expected = next((words for begin, words in _TYPES.items() if kind.startswith(begin)), "")
    if isinstance(value, bytes):
        return "it is not sent as JSON: set the header Content-Type: application/json"
    if expected and kind.endswith("_type"):
        return f"it is {json_type_name(value)}, not {expected}"
    if expected and _UNREADABLE.search(kind):
        return f"{value_text} is not {expected}"
    message = redact_text(str(detail["msg"]))
    return message[:1].lower() + message[1:]


def json_type_name(value: object) -> str:
    """The type of a JSON value, with its article."""
    if value is None:
        return "null"
    names = {bool: "true or false", str: "a string", list: "a list", tuple: "a list", dict: "an object"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else "something else")


def _key(part: str) -> str:
    is_plain = len(part) <= _MAX_VALUE_LENGTH and part.isprintable() and "//" not in part and "@" not in part
    return part if is_plain else "…"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())


def describe_value(value: object, path: tuple[int | str, ...]) -> str:
    """A value for a message; `it` for secrets, for addresses, which may contain some, and for long values."""
    names = [part for part in path if isinstance(part, str)]
    if (names and is_secret_name(names[-1])) or isinstance(value, (Mapping, list, tuple, set)):
        return "it"
    if isinstance(value, str):
        if not value.strip():
            return "an empty string"
        hidden = "//" in value or "@" in value or len(value) > _MAX_VALUE_LENGTH or redact_text(value) != value
        return "it" if hidden else _quoted(value)
    number = _number(value) if isinstance(value, (int, float)) else "it"
    return "null" if value is None else number if len(number) <= _MAX_VALUE_LENGTH else "it"


def _explain_structure(kind: str, context: Mapping[str, Any]) -> str:
    if kind in ("missing", "union_tag_not_found"):
        return f"its {str(context['discriminator']).strip(chr(39))} is missing" if context else "it is missing"
    if kind == "extra_forbidden":
        return "there is no such key"
    if kind == "string_unicode":
        return "it is not valid Unicode text"
    return f"it is not valid JSON: {context['error']}" if kind == "json_invalid" else ""


def _explain_choice(kind: str, context: Mapping[str, Any], value_text: str) -> str:
    """A value outside a closed list; pydantic formats it as `'a', 'b' or 'c'`."""
    if kind in ("literal_error", "enum"):
        return f"{value_text} is not allowed here: write {str(context['expected']).replace(chr(39), '')}"
    if kind == "union_tag_invalid":
        tag = _quoted(str(context["tag"])[:_MAX_VALUE_LENGTH])
        *most, last = str(context["expected_tags"]).replace("'", "").split(", ")
        name = str(context["discriminator"]).strip("'")
        return f"{redact_text(tag)} is not a {name}: write {' or '.join(filter(None, (', '.join(most), last)))}"
    return ""


def _explain_limit(kind: str, context: Mapping[str, Any], value: object, value_text: str) -> str:
    """A number out of range, or a string or list with a wrong length."""
    for bound, words, size in (
        ("ge", "at least", "small"),
        ("gt", "more than", "small"),
        ("le", "at most", "large"),
        ("lt", "less than", "large"),
    ):
        if kind.startswith(("greater_than", "less_than")) and bound in context:
            if str(value).strip().lower().lstrip("+-") in ("nan", "inf", "infinity"):
                return f"{value_text} is not a finite number"
            return f"{value_text} is too {size}: it must be {words} {_number(context[bound])}"
    few, many = context.get("min_length"), context.get("max_length")
    text = isinstance(value, str)
    if kind.endswith("too_short"):
        if few == 1:
            return "it is empty"
        return f"it is shorter than {few} characters" if text else f"it has fewer than {few} items"
    if kind.endswith("too_long"):
        return f"it is longer than {many} characters" if text else f"it has more than {many} items"
    return ""


def _number(value: Any) -> str:
    """A number or a boolean as JSON, without a fraction of zero."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else json.dumps(value, default=str)


def _explain_own(context: Mapping[str, Any], message: str, value_text: str) -> str:
    """The message of a validator of this project; one that only says what to write gets a beginning."""
    words = redact_text(str(context.get("error", message.removeprefix("Value error, "))))
    return f"{value_text} cannot be used: {words}" if words.startswith("write ") else words


def _describe_pattern(pattern: str) -> str:
    """Describe a pattern of names in words; other patterns are quoted."""
    match = _CLASS.fullmatch(pattern)
    if match is None:
        alternatives = re.fullmatch(r"\^\(([\w|]+)\)\$", pattern)
        return f"write {alternatives[1].replace('|', ' or ')}" if alternatives else f"its form is {pattern}"
    first, others, most = match.groups()
    length = f"at most {int(most) + 1} characters: " if most else ""
    beginning = " or ".join(words.removesuffix("s") for words in _characters(first))
    return f"write {length}{', '.join(_characters(others))}; the first is a {beginning}"


def _characters(members: str) -> list[str]:
    """The members of a character class: `letters`, `digits`, `_ . -` for `A-Za-z0-9_.-`."""
    names = []
    for run, words in _RANGES.items():
        if run in members:
            names.append(words)
            members = members.replace(run, "")
    return [*names, *([" ".join(members)] if members else [])]
