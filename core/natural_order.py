"""Natural sort order of names: `cam2` before `cam10`, `site-1060` before `site-1060-b`."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"(\d+)")

NaturalKey = tuple[tuple[tuple[bool, int, str], ...], str]


def natural_key(name: str) -> NaturalKey:
    """The sort key of a name: digits compare as numbers, and case does not matter."""
    parts = ((not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in _DIGITS.split(name.lower()))
    return tuple(part for part in parts if part[2]), name
