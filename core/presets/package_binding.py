"""Which index a package must come from: a preset binds names, or patterns with `*`, to an index."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from packaging.utils import canonicalize_name

from core.presets.model import Index


def index_for(package: str, indexes: Iterable[Index]) -> Index | None:
    """The index that `package` comes from alone; None when it is bound to none.

    Where several patterns fit, a whole name counts before a pattern, and a longer pattern before a shorter one.
    """
    name = canonicalize_name(package)
    fitting = [
        ("*" not in pattern, len(pattern), index)
        for index in indexes
        for pattern in map(canonicalize_name, index.packages)
        if fnmatchcase(name, pattern)
    ]
    return max(fitting, key=lambda row: row[:2])[2] if fitting else None
