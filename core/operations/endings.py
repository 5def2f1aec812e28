"""Ends operations from outside, when their supervisor is gone: crashed, failed, or back in the queue."""

from __future__ import annotations

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Iterator

from core.operations import processes, sql
from core.operations.database import ledger_errors, shared_connection, transaction
from core.operations.dispatch import START_PAUSE_SECONDS
from core.operations.liveness import death_cause, lock_file
from core.operations.log import draft_path, tail
from core.operations.model import LAST_OUTPUT, OperationFailure, OperationState
from core.operations.place import Place
from core.operations.rows import parse_stage, record_event, seconds_worked, title_of
from core.progress import StageState

CRASH_LOG_LINES = 12  # lines of the log that explain a crash
STOPPED_EVENT = "stopped with the service; queued again"


def end_dead(place: Place, row: sqlite3.Row) -> None:
    """End an operation whose supervisor is gone: it is crashed, or goes back into the queue if its rule allows that."""
    if row["stop_requested"] and not row["cancel_requested"]:
        back_to_queue(place, row, STOPPED_EVENT, failed=False)
        return
    if _pauses(row) and not row["cancel_requested"]:
        back_to_queue(place, row, f"{death_cause(row)} before it was tried again; queued again", failed=False)
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
            "not_before": time.monotonic() + pause,
        }
        connection.execute(sql.BACK_TO_QUEUE, values)
        connection.execute(sql.CLEAR_STAGES, values)
        last = connection.execute(sql.LAST_EVENT, values).fetchone()
        if last is None or last["what"] != what:  # a start that keeps failing does not fill the history
            record_event(connection, row["id"], what)


def _pauses(row: sqlite3.Row) -> bool:
    """Whether the operation waited to be tried again, which is then counted already."""
    return bool(row["state"] == OperationState.RUNNING.value and row["failures"] and not row["temporary"])


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

    None when another process was faster.
    """
    connection = shared_connection(place.ledger, place.network_remedy)
    with ledger_errors(place.ledger), transaction(connection):
        now = connection.execute(sql.GET, {"id": row["id"]}).fetchone()
        if now is None or any(now[name] != row[name] for name in ("state", "attempt", "token")):
            yield None
            return
        processes.kill_token_holders(row["token"])
        place.clean_up(row["key"], row["temporary"])
        log = place.operation_file(row["id"], ".log")
        lock = lock_file(place, row["id"], row["token"])
        for path in (place.operation_file(row["id"], ".reserve"), draft_path(log), lock):
            path.unlink(missing_ok=True)
        yield connection
