"""The folder of a demo: private, locked while the demo lives, and removed by a later demo if it was left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

PREFIX = "xaiva-demo-"


class LockedFolder(NamedTuple):
    """A demo's folder, and the descriptor that locks it. Processes that inherit the descriptor hold the lock, too."""

    path: Path
    lock: int


def create_folder() -> LockedFolder:
    """A new folder below that for temporary files, readable by this user alone."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return LockedFolder(path, lock)
        os.close(lock)  # another demo took it for a leftover before it was locked


def remove_leftovers() -> list[Path]:
    """Remove the folders of this user's demos that no process holds any more. Returns them."""
    return [path for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if _remove_leftover(path)]


def _remove_leftover(path: Path) -> bool:
    with contextlib.ExitStack() as stack:
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            stack.callback(os.close, lock)
            if os.fstat(lock).st_uid != os.getuid():
                return False
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # it is in use, or just being removed
            return False
        shutil.rmtree(path, ignore_errors=True)
        return not path.exists()
