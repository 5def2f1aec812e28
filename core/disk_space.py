"""Checks before long work that the disks it writes to have room for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from core.errors import XaivaError

FREE_SPACE_MARGIN = 64 << 20  # bytes to leave free for the file system, journals and other programs


def nearest_existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """How many bytes are free on the disk of a path, which may not exist yet."""
    return shutil.disk_usage(nearest_existing(path)).free


def check_space(needs: Mapping[Path, int], purpose: str) -> None:
    """Raise XaivaError when a disk has no room for what will be written to it; `needs`: path → bytes.

    Needs on one disk are added up, and a margin stays free. Nothing is needed where the bytes are 0.
    """
    disks: dict[int, list[Path]] = {}
    for path, size in needs.items():
        if size:
            disks.setdefault(os.stat(nearest_existing(path)).st_dev, []).append(path)
    for paths in disks.values():
        needed, free = sum(needs[path] for path in paths), free_bytes(paths[0])
        if needed + FREE_SPACE_MARGIN > free:
            raise no_space(purpose, needed, free, paths[0])


def no_space(purpose: str, needed: int, free: int, where: Path) -> XaivaError:
    """The error for a disk that is too small."""
    lacking = (needed + FREE_SPACE_MARGIN - free) / 1e6
    return XaivaError(
        f"Not enough space for {purpose}",
        f"{needed / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free on the disk of {where}",
        f"free at least {lacking:.0f} MB there; see what xaiva can remove: xaiva clean --plan",
    )
