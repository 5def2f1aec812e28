"""Reserved disk space, so that SQLite can open its database on a full disk.

Otherwise the service could neither watch cameras nor remove the old clips that fill the disk.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

RESERVE_BYTES = 1 << 20  # SQLite needs 32 KiB for the index of its WAL, and some for the WAL
MIN_FREE_BYTES = 32 * RESERVE_BYTES  # with less free, the reserve itself would fill the disk


def is_full(file: Path) -> bool:
    """Whether the database's disk is nearly full."""
    return shutil.disk_usage(file.parent).free < RESERVE_BYTES


def create_reserve(file: Path) -> None:
    """Create the reserve if it is missing and the disk has enough space."""
    reserve = _reserve_path(file)
    with suppress(OSError):  # next time, then
        if not reserve.exists() and shutil.disk_usage(file.parent).free > MIN_FREE_BYTES:
            handle = os.open(reserve, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(handle, 0, RESERVE_BYTES)
            finally:
                os.close(handle)


def release_reserve(file: Path) -> bool:
    """Free the reserve for the database; False when there is none."""
    place = _reserve_path(file)
    if not place.exists():
        return False
    logger.error("the disk of %s is full: the space reserved for this case is used now", file)
    place.unlink()
    return True


def _reserve_path(file: Path) -> Path:
    return file.with_name(f"{file.name}.reserve")
