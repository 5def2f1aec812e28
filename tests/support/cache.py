"""A cache of what is slow to fetch or make, shared between test runs and between the workers of a run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def cache() -> Path:
    """The cache folder of the tests, which outlives a run."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "xaiva-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cached(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder that `make` filled for this key, in this run or an earlier one. A failed `make` leaves nothing."""
    folder = cache() / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            scratch = folder.with_suffix(".part")
            shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
            scratch.mkdir()
            try:
                make(scratch)
            except BaseException:
                shutil.rmtree(scratch, ignore_errors=True)
                raise
            scratch.rename(folder)
    return folder
