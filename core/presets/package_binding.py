"""Matches packages with the names and `*` patterns of a preset, and finds the index that a package is bound to."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from packaging.utils import canonicalize_name

from core.presets.model import Index


def index_for(package: str, indexes: Iterable[Index]) -> Index | None:
    """The only index that `package` may come from; None when it is not bound to one.

    Where several patterns match, a whole name wins over a pattern, and a longer pattern over a shorter one.
    """
    fitting = [
        ("*" not in pattern, len(pattern), index)
        for index in indexes
        for pattern in index.packages
        if is_named(package, [pattern])
    ]
    return max(fitting, key=lambda row: row[:2])[2] if fitting else None


def is_named(package: str, patterns: Iterable[str]) -> bool:
    """Whether the package matches one of the patterns."""
    name = canonicalize_name(package)
    return any(fnmatchcase(name, canonicalize_name(pattern)) for pattern in patterns)
