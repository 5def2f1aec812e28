"""Reads a file of variables: the site's `.env` and the env files of run settings, both in the same way.

The format is python-dotenv's. It differs from compose's in `$NAME` and `$$`, which are not expanded. A `${NAME}` that
cannot be expanded is an error, because it may be part of a password. `docker run --env-file` has another format: quotes
belong to the value, and nothing is expanded.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from core.errors import InputError

_NAME = re.compile(r"[\w.-]+")
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?'?[\w.-]+'?[^\S\n]*=\s*(?P<literal>')?")
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_FILLED_IN = re.compile(r"(\w+)(?:(:?)-([^$]*))?")


def read_env_file(path: Path, outer: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file. A bare name and `${NAME}` get values from the file itself, then from `outer`.

    Raises InputError with the line that cannot be parsed, OSError, and UnicodeDecodeError.
    """
    variables: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(path.read_text(encoding="utf-8-sig"))):  # may begin with a BOM
        if binding.error or (binding.key is not None and not _NAME.fullmatch(binding.key)):
            raise _unreadable(path, binding)
        all_variables = {**outer, **variables}
        if binding.key is None:
            continue
        assignment = _ASSIGNMENT.match(binding.original.string)
        if binding.value is None:
            if binding.key in all_variables:
                variables[binding.key] = all_variables[binding.key]
        elif assignment and assignment["literal"]:
            variables[binding.key] = binding.value
        else:
            variables[binding.key] = _expand(binding.value, all_variables, f"{path}, line {_line(binding)}")
    return variables


def _expand(value: str, variables: Mapping[str, str], place: str) -> str:
    """Expand each `${NAME}` and `${NAME:-default}`."""

    def fill_in(match: re.Match[str]) -> str:
        reference = _FILLED_IN.fullmatch(match[1])
        text = variables.get(reference[1]) if reference else None
        if reference and (text is None or (reference[2] and not text)):
            text = reference[3] if reference[3] is not None else text
        if text is None:
            why = "a ${…} in it names a variable that is not set, or has a form other than ${NAME} and ${NAME:-default}"
            remedy = "if it is part of the value, write NAME='value'; if it may be empty, write ${NAME:-}"
            raise InputError(place, why, remedy)
        return text

    return _REFERENCE.sub(fill_in, value)


def _line(binding: Binding) -> int:
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _unreadable(path: Path, binding: Binding) -> InputError:
    """The error for a line. It quotes only the number, because the line may contain a secret."""
    place = f"{path}, line {_line(binding)}"
    if _ASSIGNMENT.match(binding.original.string):
        why = "a quote is not closed, or text follows the closing one"
        return InputError(place, why, "write NAME='value'; within single quotes, \\' is a quote")
    return InputError(place, "it is neither a variable nor a comment", "write NAME=value, or # before it")
