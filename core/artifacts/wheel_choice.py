"""Chooses the wheel of a package that fits the image best, of those that uv allows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

OLDEST_GLIBC_MINOR = 5  # manylinux1; the `manylinux_2_N` names go back to it
LEGACY_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@lru_cache(maxsize=16)
def tag_ranks(python_version: str, platform: str) -> dict[Tag, int]:
    """Tag that the image accepts → rank, 0 the best. `platform` is in uv's notation: `x86_64-manylinux_2_28`."""
    major, minor = (int(part) for part in python_version.split("."))
    platforms = _platforms(platform)
    ordered = [
        *cpython_tags((major, minor), platforms=platforms),
        *compatible_tags((major, minor), platforms=platforms),
    ]
    ranks: dict[Tag, int] = {}
    for rank, tag in enumerate(ordered):
        ranks.setdefault(tag, rank)
    return ranks


def _platforms(platform: str) -> list[str]:
    match = re.fullmatch(r"(?P<machine>\w+?)-manylinux_2_(?P<minor>\d+)", platform)
    if match is None:
        raise ValueError(f"unknown platform {platform}")
    machine = match["machine"]
    names = []
    for minor in range(int(match["minor"]), OLDEST_GLIBC_MINOR - 1, -1):
        names.append(f"manylinux_2_{minor}_{machine}")
        if minor in LEGACY_NAMES:
            names.append(f"{LEGACY_NAMES[minor]}_{machine}")
    return [*names, f"linux_{machine}"]


def wheel_rank(filename: str, ranks: dict[Tag, int]) -> int | None:
    """The rank of a wheel by its file name; None when the image cannot use it."""
    try:
        _, _, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        return None
    return min((ranks[tag] for tag in tags if tag in ranks), default=None)


def best_wheel(names: Sequence[str], ranks: dict[Tag, int]) -> int | None:
    """The position of the best wheel in `names`; None when none fits."""
    ranked = [(rank, name, at) for at, name in enumerate(names) if (rank := wheel_rank(name, ranks)) is not None]
    return min(ranked)[2] if ranked else None
