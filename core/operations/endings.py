"""Ends operations from outside, when their supervisor is gone: crashed, failed, or back in the queue."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping

from core.operations import processes, sql
from core.operations.database import ledger_errors, shared_connection, transaction
from core.operations.dispatch import START_PAUSE_SECONDS
from core.operations.liveness import death_cause, lock_file, take_lock
from core.operations.log import draft_path, tail
from core.operations.model import LAST_OUTPUT, OperationFailure, OperationState
from core.operations.place import Place
from core.operations.rows import parse_stage, record_event, seconds_worked, title_of
from core.progress import StageState

CRASH_LOG_LINES = 12  # lines of the log that explain a crash
CLAIM_SECONDS = 30.0  # how long a clean-up without a lock may take
_FENCES = ("state", "attempt", "token", "cancel_requested", "stop_requested")
STOPPED_EVENT = "stopped with the service; queued again"


def end_dead(place: Place, row: sqlite3.Row) -> None:
    """End an operation whose supervisor is gone: it is crashed, or goes back into the queue if its rule allows that."""
    if row["stop_requested"] and not row["cancel_requested"]:
        back_to_queue(place, row, STOPPED_EVENT, failed=False)
        return
    if row["state"] == OperationState.QUEUED.value and _may_start_again(place, row):
        back_to_queue(place, row, f"{death_cause(row)}; queued again", failed=False, pause=START_PAUSE_SECONDS)
        return
    if _may_try_again(place, row):
        back_to_queue(place, row, f"attempt {row['attempt']} was lost: {death_cause(row)}; queued again", failed=True)
        return
    words = "\n".join(tail(place.operation_file(row["id"], ".log"), CRASH_LOG_LINES))
    failure = OperationFailure(
        what=f"{title_of(row)} crashed",
        why="its process is gone: it was killed, ran out of memory, or the machine went down"
        + (LAST_OUTPUT + words if words else ""),
        remedy=f"start it again; it continues from what is complete: {place.command} retry {row['id']}",
    )
    _finish(place, row, OperationState.CRASHED, failure)


def end_unstarted(place: Place, row: sqlite3.Row, failure: OperationFailure) -> None:
    """End an operation for which no process could be started, or put it back into the queue if its rule allows that."""
    if _may_start_again(place, row):
        back_to_queue(place, row, f"{failure.headline}; queued again", failed=False, pause=START_PAUSE_SECONDS)
    else:
        _finish(place, row, OperationState.FAILED, failure)


def back_to_queue(place: Place, row: sqlite3.Row, what: str, *, failed: bool, pause: float = 0) -> None:
    """Put an operation without a supervisor back to its place in the queue. `what` goes into its history.

    `failed`: an attempt has failed. It is not started again for `pause` seconds.
    """
    with _released(place, row) as connection:
        if connection is None:
            return
        values = {
            "id": row["id"],
            "attempt": row["attempt"],
            "token": uuid.uuid4().hex,
            "failures": row["failures"] + failed,
            "crashes": row["crashes"],
            "boot": processes.boot_id(),
            "not_before": time.monotonic() + pause,
        }
        connection.execute(sql.BACK_TO_QUEUE, values)
        connection.execute(sql.CLEAR_STAGES, values)
        last = connection.execute(sql.LAST_EVENT, values).fetchone()
        if last is None or last["what"] != what:  # a start that keeps failing does not fill the history
            record_event(connection, row["id"], what)


def _may_try_again(place: Place, row: sqlite3.Row) -> bool:
    return not row["cancel_requested"] and row["failures"] + 1 < place.rule(row["kind"]).attempts


def _may_start_again(place: Place, row: sqlite3.Row) -> bool:
    """Whether one that did not come up stays in the queue. That is no attempt: nothing of it has run."""
    return not row["cancel_requested"] and place.rule(row["kind"]).attempts > 1


def _finish(place: Place, row: sqlite3.Row, state: OperationState, failure: OperationFailure) -> None:
    with _released(place, row) as connection:
        if connection is None:
            return
        values = {
            "id": row["id"],
            "attempt": row["attempt"],
            "state": state.value,
            "now": time.time(),
            "seconds": seconds_worked(row),
            "result": None,
            "failure": failure.model_dump_json(),
        }
        connection.execute(sql.FINISH, values)
        for stage_row in connection.execute(sql.STAGES, values).fetchall():
            stage = parse_stage(stage_row["id"], stage_row["body"])
            if stage.state is StageState.RUNNING:
                ended = stage.model_copy(update={"state": StageState.FAILED, "ended": time.time()})
                connection.execute(
                    sql.SET_STAGE, {"operation": row["id"], "id": ended.id, "body": ended.model_dump_json()}
                )
        record_event(connection, row["id"], state.value)


@contextlib.contextmanager
def _released(place: Place, row: sqlite3.Row) -> Iterator[sqlite3.Connection | None]:
    """A transaction in which nothing of the operation is left, before its key and its resources become free.

    None when another process was faster. The clean-up, which may take long, comes before it and blocks nobody: the
    row is claimed for it. If this process dies on the way, its lock is free and the next reader claims the row.
    """
    connection = shared_connection(place.ledger, place.network_remedy)
    with ledger_errors(place.ledger), contextlib.ExitStack() as lock:
        claim = _claim(place, row, connection, lock)
        if claim is None:
            yield None
            return
        processes.kill_token_holders(row["token"].rpartition(".")[2])
        place.clean_up(row["key"], row["temporary"])
        for path in (draft_path(place.operation_file(row["id"], ".log")), lock_file(place, row["id"], row["token"])):
            path.unlink(missing_ok=True)
        with transaction(connection):
            is_unchanged = _is_unchanged(connection, claim)
            yield connection if is_unchanged else None
        if is_unchanged:  # otherwise the free lock tells the next reader that nobody cleans up
            lock_file(place, row["id"], str(claim["token"])).unlink(missing_ok=True)


def _claim(
    place: Place, row: sqlite3.Row, connection: sqlite3.Connection, lock: contextlib.ExitStack
) -> dict[str, object] | None:
    """Take a row for its clean-up, so that readers do not take it for dead; None when another process was faster."""
    # The part after the dot stays: by it the processes are found, also when another process has to go on with this.
    token = f"{uuid.uuid4().hex[:8]}.{row['token'].rpartition('.')[2]}"
    handle = take_lock(lock_file(place, row["id"], token))
    if handle is not None:
        lock.callback(os.close, handle)
    values = {"token": token, "boot": processes.boot_id(), "lease": time.monotonic() + CLAIM_SECONDS}
    with transaction(connection):
        if not _is_unchanged(connection, {name: row[name] for name in ("id", *_FENCES)}):
            lock_file(place, row["id"], token).unlink(missing_ok=True)
            return None
        place.operation_file(row["id"], ".reserve").unlink(missing_ok=True)  # on a full disk this is the room to write
        connection.execute(sql.CLAIM, {"id": row["id"], **values})
    return {**{name: row[name] for name in ("id", *_FENCES)}, "token": token}


def _is_unchanged(connection: sqlite3.Connection, known: Mapping[str, object]) -> bool:
    """Whether nobody has started, ended or claimed the row, or asked something of it, in the meantime."""
    now = connection.execute(sql.GET, {"id": known["id"]}).fetchone()
    return now is not None and all(now[name] == known[name] for name in _FENCES)
