"""Looks after the queue of a ledger: finds operations that died, starts those that have room, says why others wait.

Any process may do so at any time, several at once: who starts an operation is decided in one transaction.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from core.errors import os_reason
from core.files import write_remedy
from core.operations import processes, sql
from core.operations.database import ledger_errors, read_rows, shared_connection, transaction
from core.operations.dispatch import DispatchPlan, plan_dispatch
from core.operations.endings import end_dead, end_unstarted
from core.operations.liveness import has_died
from core.operations.model import OperationFailure
from core.operations.place import Place
from core.operations.rows import parse_queue_entry, title_of
from core.operations.spawn import spawn_supervisor

START_SECONDS = 30.0  # how long a supervisor may take to acquire its operation before that counts as crashed
HELD_REASON = "waits for the next start of the service"


def reap(place: Place) -> None:
    """End live operations whose supervisor is gone, and clean up after them."""
    for row in _read(place, sql.HELD):
        if has_died(place, row) and os.access(place.state, os.W_OK):
            end_dead(place, row)


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
    with ledger_errors(place.ledger), transaction(connection):
        if connection.execute(sql.QUEUE_HELD).fetchone():
            return {}
        entries = map(parse_queue_entry, connection.execute(sql.QUEUE).fetchall())
        chosen = plan_dispatch(entries, place.capacity).start
        for identifier in chosen:
            values = {"id": identifier, "boot": processes.boot_id(), "lease": time.monotonic() + START_SECONDS}
            connection.execute(sql.MARK_STARTING, values)
    failures = {identifier: _spawn(place, identifier) for identifier in chosen}
    return {identifier: failure for identifier, failure in failures.items() if failure is not None}


def _plan(place: Place) -> DispatchPlan:
    return plan_dispatch(map(parse_queue_entry, _read(place, sql.QUEUE)), place.capacity)


def _spawn(place: Place, identifier: int) -> OperationFailure | None:
    rows = _read(place, sql.GET, identifier)
    if not rows:
        return None
    (row,) = rows
    log: Path = place.operation_file(identifier, ".log")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        spawn_supervisor(place, identifier, row["token"], log)
    except OSError as error:
        failure = OperationFailure(
            what=f"{title_of(row)} could not be started", why=os_reason(error), remedy=_spawn_remedy(error)
        )
        end_unstarted(place, row, failure)
        return failure
    return None


def _read(place: Place, statement: str, identifier: int = 0):  # type: ignore[no-untyped-def]
    return read_rows(place.ledger, statement, {"id": identifier}, place.network_remedy)


def _spawn_remedy(error: OSError) -> str:
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return "close other programs: this machine has no memory or no processes left to start another one"
    return write_remedy(error)
