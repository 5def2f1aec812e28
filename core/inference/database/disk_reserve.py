"""Reserved disk space for SQLite, without which the database could not even be opened on a full disk.

Then nobody would watch the cameras, and nobody would remove the old clips that fill it.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

RESERVE_BYTES = 1 << 20  # SQLite wants 32 KiB for its index of the log, and some for the log itself
MIN_FREE_BYTES = 32 * RESERVE_BYTES  # with less free it would take from others what it is kept for


def is_full(file: Path) -> bool:
    """Whether the database's disk has next to no room."""
    return shutil.disk_usage(file.parent).free < RESERVE_BYTES


def create_reserve(file: Path) -> None:
    """Put the room aside where there is plenty."""
    reserve = _reserve_path(file)
    with suppress(OSError):  # another time
        if not reserve.exists() and shutil.disk_usage(file.parent).free > MIN_FREE_BYTES:
            handle = os.open(reserve, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(handle, 0, RESERVE_BYTES)
            finally:
                os.close(handle)


def release_reserve(file: Path) -> bool:
    """Let the database have it; False when nothing was put aside."""
    place = _reserve_path(file)
    if not place.exists():
        return False
    logger.error("the disk of %s is full: the space reserved for this case is used now", file)
    place.unlink()
    return True


def _reserve_path(file: Path) -> Path:
    return file.with_name(f"{file.name}.reserve")
