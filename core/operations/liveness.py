"""Decides whether the supervisor of a live operation is gone."""

from __future__ import annotations

import sqlite3
import time

from core.operations import processes
from core.operations.model import OperationState


def has_died(row: sqlite3.Row) -> bool:
    """Whether the supervisor of a row of `sql.HELD` is gone. A row without a lease waits, and has none."""
    if row["boot"] != processes.boot_id():
        return True  # the machine was restarted in the meantime, or this is another machine
    expired = bool(time.monotonic() > row["lease"])
    if row["state"] == OperationState.QUEUED.value or not shares_pid_namespace(row):
        return expired
    return not processes.is_alive(row["pid"], row["pid_start"])


def shares_pid_namespace(row: sqlite3.Row) -> bool:
    """Whether the row's pid is valid in this process's pid namespace."""
    return bool(row["namespace"] == processes.pid_namespace() and row["boot"] == processes.boot_id())


def death_cause(row: sqlite3.Row) -> str:
    """Why the supervisor is gone, as far as it can be known."""
    if row["boot"] != processes.boot_id():
        return "the machine was restarted"
    if row["state"] == OperationState.QUEUED.value:
        return "it did not come up"
    return "its processes were killed" if shares_pid_namespace(row) else "its container is gone"
