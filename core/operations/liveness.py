"""Decides whether the supervisor of a live operation is gone.

In its own pid namespace, its pid and start time tell. Before it has written them, and from another namespace, such as
that of a restarted container, its lock does: the kernel releases it when the process ends, wherever it ran.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from pathlib import Path

from core.operations import processes
from core.operations.model import OperationState
from core.operations.place import Place


def lock_file(place: Place, identifier: int, token: str) -> Path:
    """The file that the supervisor of this row keeps locked. Each supervisor has another token, so another file."""
    return place.operation_file(identifier, f".{token[:8]}.lock")


def take_lock(path: Path) -> int | None:
    """Lock the file; returns its handle, which the supervisor inherits. None on a full disk: the lease has to do."""
    handle = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if handle is not None:
            os.close(handle)
            with contextlib.suppress(OSError):
                path.unlink()  # a file without a lock would tell readers that its process is dead
        return None
    return handle


def has_died(place: Place, row: sqlite3.Row) -> bool:
    """Whether the supervisor of a row of `sql.HELD` is gone. A row without a lease waits, and has none."""
    if row["boot"] != processes.boot_id():
        return True  # the machine was restarted in the meantime, or this is another machine
    if row["state"] == OperationState.RUNNING.value and shares_pid_namespace(row):
        return not processes.is_alive(row["pid"], row["pid_start"])
    locked = _is_locked(lock_file(place, row["id"], row["token"]))
    if locked is not None:
        return not locked
    return bool(time.monotonic() > row["lease"])


def shares_pid_namespace(row: sqlite3.Row) -> bool:
    """Whether the row's pid is valid in this process's pid namespace."""
    return bool(row["namespace"] == processes.pid_namespace() and row["boot"] == processes.boot_id())


def death_cause(row: sqlite3.Row) -> str:
    """Why the supervisor is gone, as far as it can be known."""
    if row["boot"] != processes.boot_id():
        return "the machine was restarted"
    if row["state"] == OperationState.QUEUED.value:
        return "its process did not come up"
    elsewhere = row["namespace"] not in ("", processes.pid_namespace())  # "": its clean-up was killed
    return "its container is gone" if elsewhere else "its processes were killed"


def _is_locked(path: Path) -> bool | None:
    """Whether a process holds the lock; None when there is no such file, or it cannot be opened."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False
