"""Reads rows of the ledger into models, and writes the entries of the history."""

from __future__ import annotations

import json
import os
import sqlite3
import time

from core.open_enum import describe_misfit
from core.operations import processes, sql
from core.operations.dispatch import QueueEntry
from core.operations.model import Operation, OperationFailure, OperationState
from core.operations.place import Place
from core.progress import Stage, StageState


def parse_operation(place: Place, row: sqlite3.Row, why_queued: str = "") -> Operation:
    """An operation from its row; one that cannot be read gets a failure that says so."""
    values = {name: row[name] for name in row.keys() if name in Operation.model_fields}  # noqa: SIM118 - a Row
    log = os.fspath(place.operation_file(row["id"], ".log"))
    values |= {"seconds": seconds_worked(row) or row["seconds"], "log": log, "why_queued": why_queued}
    values["resources"] = list(read_resources(row))
    try:
        values["options"] = json.loads(row["options"])
        values["result"] = json.loads(row["result"]) if row["result"] else None
        values["failure"] = OperationFailure.model_validate_json(row["failure"]) if row["failure"] else None
        return Operation(**values)
    except ValueError as error:  # written by a newer xaiva, or truncated: the other rows are still readable
        why = f"the ledger's row cannot be read: {describe_misfit(error)}"
        unreadable = OperationFailure(
            what=f"{row['kind']} {row['subject']}", why=why, remedy="use the newer xaiva for this site"
        )
        return Operation(**{**values, "options": {}, "result": None, "failure": unreadable})


def parse_stage(identifier: str, body: str) -> Stage:
    """A stage from its JSON; an unreadable one becomes a stage whose title says so."""
    try:
        return Stage.model_validate_json(body)
    except ValueError as error:
        title = f"{identifier}: this stage cannot be read: {describe_misfit(error)}"
        return Stage(id=identifier, title=title, state=StageState(""))


def parse_queue_entry(row: sqlite3.Row) -> QueueEntry:
    """An entry of the queue from a row of `sql.QUEUE`."""
    same_boot = row["boot"] == processes.boot_id()
    return QueueEntry(
        id=row["id"],
        title=title_of(row),
        resources=read_resources(row),
        priority=row["priority"],
        position=row["position"],
        held=bool(row["held"]),
        pause=max(row["not_before"] - time.monotonic(), 0) if same_boot else 0,
    )


def read_resources(row: sqlite3.Row) -> tuple[str, ...]:
    """The resources of a row; none when they cannot be read."""
    try:
        names = json.loads(row["resources"])
    except ValueError:
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()


def title_of(row: sqlite3.Row) -> str:
    """Kind and subject."""
    return f"{row['kind']} {row['subject']}".strip()


def seconds_worked(row: sqlite3.Row) -> float:
    """How many seconds a live operation has worked, up to its last sign of life."""
    if row["state"] != OperationState.RUNNING.value or row["boot"] != processes.boot_id():
        return 0.0
    return max(min(time.monotonic(), float(row["lease"])) - float(row["started_tick"]), 0.0)


def record_event(connection: sqlite3.Connection, identifier: int, what: str, by: str = "") -> None:
    """Add an entry to the history, after the change it describes: it keeps the state that the operation has now."""
    connection.execute(sql.PUT_EVENT, {"id": identifier, "now": time.time(), "what": what, "by": by})
