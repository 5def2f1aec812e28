"""Small disks, and disks that cannot be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import require


@contextmanager
def small_disk(mount: Path, size: str) -> Iterator[Path]:
    """A file system of its own at `mount` that holds `size` (as `1m`)."""
    require(os.geteuid() == 0, "root, to mount a tmpfs")
    mount.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", mount], check=False)
    require(mounted.returncode == 0, "the right to mount a tmpfs")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


@contextmanager
def read_only(mount: Path) -> Iterator[None]:
    """The file system at `mount`, which `small_disk` made, read-only for a while."""
    subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", mount], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk, and return the file that does."""
    hog = folder / "hog"
    with open(hog, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return hog
