"""Reads a file of variables: the site's `.env` and the env files of run settings, both in the same way.

The format is the one of compose's and python-dotenv's env files. `docker run --env-file` reads another one, in which
quotes are a part of the value and nothing is expanded.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import parse_variables

from core.errors import InputError

_LITERAL = re.compile(r"\s*(?:export\s+)?[^=]*=\s*'")


def read_env_file(path: Path, outer: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file. A name alone, and `${NAME}`, take values of the file itself and then of `outer`.

    Raises InputError with the line that cannot be read, OSError, and UnicodeDecodeError for what is not UTF-8.
    """
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(path.read_text(encoding="utf-8-sig"))):  # editors write byte order marks
        if binding.error:
            raise _unreadable(path, binding)
        known = {**outer, **found}
        if binding.key is None:
            continue
        if binding.value is None:
            if binding.key in known:
                found[binding.key] = known[binding.key]
        elif _LITERAL.match(binding.original.string):
            found[binding.key] = binding.value
        else:
            found[binding.key] = "".join(part.resolve(known) for part in parse_variables(binding.value))
    return found


def _unreadable(path: Path, binding: Binding) -> InputError:
    """Names the line by its number alone: it may hold a secret."""
    text = binding.original.string
    line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
    if "=" in text:
        why = "a quote is not closed, or something stands behind the closing one"
        return InputError(f"{path}, line {line}", why, "write NAME='value'; inside of single quotes, \\' is a quote")
    return InputError(f"{path}, line {line}", "it is no variable and no comment", "write NAME=value, or # before it")
