"""Looks after the queue of a ledger: finds operations that died, starts those that have room, says why others wait.

Any process may do so at any time, several at once: who starts an operation is decided in one transaction.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import time

from core.errors import os_reason
from core.files import write_remedy
from core.operations import processes, sql
from core.operations.database import ledger_errors, read_rows, shared_connection, transaction
from core.operations.dispatch import DispatchPlan, plan_dispatch
from core.operations.endings import end_dead, end_unstarted
from core.operations.liveness import has_died, lock_file, take_lock
from core.operations.model import OperationFailure
from core.operations.place import Place
from core.operations.rows import parse_queue_entry, title_of
from core.operations.spawn import spawn_supervisor

START_SECONDS = 30.0  # how long a supervisor without a lock may take to acquire its operation
HELD_REASON = "waits for the next start of the service"


def reap(place: Place) -> None:
    """End live operations whose supervisor is gone, and clean up after them."""
    for row in _read(place, sql.HELD):
        if has_died(place, row) and os.access(place.state, os.W_OK):
            end_dead(place, row)


def open_queue(place: Place) -> None:
    """End what a planned stop began; what waits gets the resources that its kind uses now. Raises XaivaError."""
    connection = shared_connection(place.ledger, place.network_remedy)
    with ledger_errors(place.ledger), transaction(connection):
        if connection.execute(sql.QUEUE_HELD).fetchone():
            connection.execute(sql.SET_QUEUE_HELD, {"value": 0})
        for kind in place.kinds:
            resources = json.dumps(place.rule(kind).resources)
            connection.execute(sql.SET_RESOURCES, {"kind": kind, "resources": resources})


def reasons(place: Place) -> dict[int, str]:
    """Why each waiting operation waits. What has room is started first, in case nobody has done so yet."""
    if not _read(place, sql.ANY_WAITING):
        return {}
    if _read(place, sql.QUEUE_HELD):
        return dict.fromkeys((row["id"] for row in _read(place, sql.QUEUE) if not row["held"]), HELD_REASON)
    plan = _plan(place)
    if plan.start and os.access(place.state, os.W_OK):
        dispatch(place)
        plan = _plan(place)
    return plan.reasons


def dispatch(place: Place) -> dict[int, OperationFailure]:
    """Start what has room; returns the failures of those that could not be started.

    Raises XaivaError when the ledger cannot be written.
    """
    connection = shared_connection(place.ledger, place.network_remedy)
    with contextlib.ExitStack() as locks:  # held until the supervisors have inherited them
        with ledger_errors(place.ledger), transaction(connection):
            if connection.execute(sql.QUEUE_HELD).fetchone():
                return {}
            entries = map(parse_queue_entry, connection.execute(sql.QUEUE).fetchall())
            chosen = plan_dispatch(entries, place.capacity).start
            started = [_mark_starting(place, connection, identifier, locks) for identifier in chosen]
        failures = {row["id"]: _spawn(place, row, lock) for row, lock in started}
    return {identifier: failure for identifier, failure in failures.items() if failure is not None}


def _plan(place: Place) -> DispatchPlan:
    return plan_dispatch(map(parse_queue_entry, _read(place, sql.QUEUE)), place.capacity)


def _mark_starting(
    place: Place, connection: sqlite3.Connection, identifier: int, locks: contextlib.ExitStack
) -> tuple[sqlite3.Row, int | None]:
    """Give the operation a lease; returns its row and its lock, which is taken before anybody can see the lease."""
    row = connection.execute(sql.GET, {"id": identifier}).fetchone()
    lock = take_lock(lock_file(place, identifier, row["token"]))
    if lock is not None:
        locks.callback(os.close, lock)
    values = {"id": identifier, "boot": processes.boot_id(), "lease": time.monotonic() + START_SECONDS}
    connection.execute(sql.MARK_STARTING, values)
    return connection.execute(sql.GET, values).fetchone(), lock


def _spawn(place: Place, row: sqlite3.Row, lock: int | None) -> OperationFailure | None:
    log = place.operation_file(row["id"], ".log")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        spawn_supervisor(place, row["id"], row["token"], log, lock)
    except OSError as error:
        failure = OperationFailure(
            what=f"{title_of(row)} could not be started", why=os_reason(error), remedy=_spawn_remedy(error)
        )
        end_unstarted(place, row, failure)
        return failure
    return None


def _read(place: Place, statement: str) -> list[sqlite3.Row]:
    return read_rows(place.ledger, statement, {}, place.network_remedy)


def _spawn_remedy(error: OSError) -> str:
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return "close other programs: this machine has no memory or no processes left to start another one"
    return write_remedy(error)
