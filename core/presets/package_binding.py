"""Packages that a preset names, one by one or by a pattern with `*`; and the index that such a name is bound to."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from packaging.utils import canonicalize_name

from core.presets.model import Index


def index_for(package: str, indexes: Iterable[Index]) -> Index | None:
    """The index that `package` comes from alone; None when it is bound to none.

    Where several patterns fit, a whole name counts before a pattern, and a longer pattern before a shorter one.
    """
    fitting = [
        ("*" not in pattern, len(pattern), index)
        for index in indexes
        for pattern in index.packages
        if is_named(package, [pattern])
    ]
    return max(fitting, key=lambda row: row[:2])[2] if fitting else None


def is_named(package: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns stands for the package."""
    name = canonicalize_name(package)
    return any(fnmatchcase(name, canonicalize_name(pattern)) for pattern in patterns)
