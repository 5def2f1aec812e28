"""Errors of a command line in plain English: the option or argument, the given value, and what is expected."""

from __future__ import annotations

import re
from typing import Any

import click

from core.errors import InputError
from core.validation_errors import explain_error

_GIVEN = re.compile(r"(?P<quote>'?)(?P<given>.*)(?P=quote) is not (?:a valid|in the range|one of)", re.DOTALL)


def usage_error(error: click.UsageError) -> InputError:
    """Convert an error of click. Unknown kinds keep click's own message."""
    command = error.ctx.command_path if error.ctx else "xaiva"
    subject, why = _described(error)
    return InputError(f"{command} {subject}".strip(), why, f"see: {command} --help")


def _described(error: click.UsageError) -> tuple[str, str]:
    if isinstance(error, click.NoSuchOption):
        close = f"; did you mean {' or '.join(sorted(error.possibilities))}?" if error.possibilities else ""
        return error.option_name, f"there is no such option{close}"
    if isinstance(error, click.BadParameter):
        subject = _subject(error)
        if isinstance(error, click.MissingParameter):
            return subject, "it is missing"
        return subject, _refused_value(error)
    return "", _plain_message(error.format_message())


def _subject(error: click.BadParameter) -> str:
    """The option or argument as the help shows it."""
    if error.param is None:
        return str(error.param_hint or "").strip("'")
    return error.param.get_error_hint(error.ctx).replace("'", "")


def _refused_value(error: click.BadParameter) -> str:
    match = _GIVEN.match(error.message)
    detail = _as_validation(error.param.type, match["given"]) if match and error.param else None
    if detail is None:
        return _plain_message(error.message)
    return explain_error({"loc": (error.param.name,) if error.param else (), "msg": error.message, **detail})


def _as_validation(kind: click.ParamType[Any], value: str) -> dict[str, Any] | None:
    """Details of the error in the form that the validation of settings uses."""
    if isinstance(kind, click.Choice):
        *most, last = (str(getattr(choice, "value", choice)) for choice in kind.choices)
        expected = f"{', '.join(most)} or {last}" if most else last
        return {"type": "literal_error", "input": value, "ctx": {"expected": expected}}
    whole = isinstance(kind, type(click.INT))
    if not whole and not isinstance(kind, type(click.FLOAT)):
        return None
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        return {"type": "int_parsing" if whole else "float_parsing", "input": value}
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is not None and number < low:
        return {"type": "greater_than_equal", "input": number, "ctx": {"ge": low}}
    return {"type": "less_than_equal", "input": number, "ctx": {"le": high}} if high is not None else None


def _plain_message(message: str) -> str:
    return message[:1].lower() + message[1:].removesuffix(".")
