"""Redacts the lines of a log, also secrets that go over several lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from core.log_lines import clean_line
from core.redaction import HIDDEN, redact_text

_BEGIN = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_END = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")
_LONGEST_KEY = 200  # lines
_KEY_LINE = re.compile(r"(?:^|[^A-Za-z0-9+/=])[A-Za-z0-9+/=]{32,}\W*$")


def redact_lines(lines: Sequence[str], secrets: re.Pattern[str] | None) -> list[str]:
    """The lines as a terminal would show them, without escape sequences, which could hide a secret, and redacted."""
    cleaned = [clean_line(line) for line in lines]
    hidden = _lines_of_keys(cleaned)
    return [HIDDEN if index in hidden else redact_text(line, secrets) for index, line in enumerate(cleaned)]


def _lines_of_keys(lines: Sequence[str]) -> set[int]:
    """The numbers of lines within private keys. The first or the last line of a key may be missing: the log was cut."""
    hidden: set[int] = set()
    for index, line in enumerate(lines):
        has_begin, has_end = _BEGIN.search(line), _END.search(line)
        if has_begin and not has_end:
            hidden.update(range(index, _last_line(lines, index) + 1))
        elif has_end and not has_begin and index not in hidden:
            hidden.update(range(_first_line(lines, index), index + 1))
        elif line.endswith(HIDDEN):  # what was redacted before may have been the BEGIN
            hidden.update(_key_lines_after(lines, index))
    return hidden


def _last_line(lines: Sequence[str], begin: int) -> int:
    """The line with the END of a key; without one, everything that could belong to it."""
    limit = min(begin + _LONGEST_KEY, len(lines))
    return next((index for index in range(begin, limit) if _END.search(lines[index])), limit - 1)


def _key_lines_after(lines: Sequence[str], begin: int) -> Iterator[int]:
    for index in range(begin + 1, min(begin + _LONGEST_KEY, len(lines))):
        if not _KEY_LINE.search(lines[index]):
            return
        yield index


def _first_line(lines: Sequence[str], end: int) -> int:
    """The first line of a key whose BEGIN is missing: its last line may be short, those before it are long."""
    first = max(end - 1, 0)
    while first > 0 and _KEY_LINE.search(lines[first - 1]):
        first -= 1
    return first
