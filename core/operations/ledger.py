"""The ledger: the single source of truth about operations.

Any process may read it; a supervisor writes what its operation does.
"""

from __future__ import annotations

import errno
import getpass
import json
import os
import signal
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from core.errors import InputError, os_reason
from core.files import write_remedy
from core.open_enum import describe_misfit
from core.operations import processes, sql
from core.operations.database import ledger_errors, read_rows, shared_connection, transaction
from core.operations.log import LogReader, draft_path, tail
from core.operations.model import (
    LAST_OUTPUT,
    Operation,
    OperationBusy,
    OperationEvent,
    OperationFailure,
    OperationState,
    Update,
)
from core.operations.place import Place
from core.operations.spawn import spawn_supervisor
from core.progress import Stage, StageState

START_SECONDS = 30.0  # how long a supervisor may take to acquire its operation before that counts as crashed
POLL_SECONDS = 0.25  # how often a follower reads the ledger
CRASH_LOG_LINES = 12  # lines of the log that explain a crash
# Named here because `list` is a method below.
Operations: TypeAlias = list[Operation]
Stages: TypeAlias = list[Stage]
Events: TypeAlias = list[OperationEvent]
Rows: TypeAlias = list[sqlite3.Row]


class Ledger:
    """Operations of one place. Threads may share it; no file is created until the first operation starts."""

    def __init__(self, place: Place) -> None:
        self.path = place.ledger
        self._place = place

    def start(
        self, kind: str, subject: str, options: Mapping[str, JsonValue] | None = None, *, key: str | None = None
    ) -> Operation:
        """Start an operation in a process of its own and return at once.

        `key` names the resource it needs exclusively (default `preset:<subject>`). `options` are plain JSON without
        secrets. Raises OperationBusy when a live operation holds the key, InputError for an unknown kind.
        """
        target = self._place.kinds.get(kind)
        if target is None:
            raise InputError(
                f"Operation {kind}",
                "there is no operation of this kind",
                f"use one of: {', '.join(sorted(self._place.kinds))}",
            )
        values = {
            "kind": kind,
            "subject": subject,
            "key": key or f"preset:{subject}",
            "target": target,
            "options": json.dumps(dict(options or {})),
        }

        def insert(connection: sqlite3.Connection) -> int:
            identifier = connection.execute(sql.INSERT, {**values, **_queued_values()}).lastrowid or 0
            _record_event(connection, identifier, "requested", by=current_user())
            return identifier

        self._prune()  # before the row exists: a failure here must not leave a row without a supervisor
        return self._spawn(self._take_key(values["key"], insert))

    def retry(self, identifier: int) -> Operation:
        """Start an operation that failed, crashed or was cancelled again, with the same options."""
        row = self._read_row(identifier)
        target = self._place.kinds.get(row["kind"], row["target"])  # an older xaiva may have had it in another module

        def requeue(connection: sqlite3.Connection) -> int:
            changed = connection.execute(sql.REQUEUE, {**_queued_values(), "id": identifier, "target": target}).rowcount
            if changed:
                connection.execute(sql.CLEAR_STAGES, {"id": identifier})
                _record_event(connection, identifier, "requested again", by=current_user())
            return changed

        if not self._take_key(row["key"], requeue):
            raise InputError(
                f"Operation {identifier}",
                f"it is {row['state']}",
                "retry only operations that failed, crashed or were cancelled",
            )
        return self._spawn(identifier)

    def get(self, identifier: int) -> Operation:
        """The operation's current state. Raises InputError when there is none with that id."""
        self._reap_crashed()
        return self._parse_operation(self._read_row(identifier))

    def list(self, limit: int = 50, live_only: bool = False) -> Operations:
        """Operations, newest first."""
        self._reap_crashed()
        rows = self._read(sql.LIVE if live_only else sql.LIST, {"limit": limit})
        return [self._parse_operation(row) for row in rows]

    def stages(self, identifier: int) -> Stages:
        """The operation's stages in the order in which they were first reported."""
        return [_parse_stage(row["id"], row["body"]) for row in self._read(sql.STAGES, {"id": identifier})]

    def events(self, identifier: int) -> Events:
        """The operation's events, oldest first."""
        return [
            OperationEvent(time=row["time"], what=row["what"], by=row["by"])
            for row in self._read(sql.EVENTS, {"id": identifier})
        ]

    def log_path(self, identifier: int) -> Path:
        """The operation's log file, in the format of `core.operations.log`."""
        return self._place.operation_file(identifier, ".log")

    def cancel(self, identifier: int) -> Operation:
        """Cancel the operation, which takes a second at most. One that has ended stays unchanged."""
        row = self._read_row(identifier)
        failure = OperationFailure(
            what=f"{row['kind']} {row['subject']} was cancelled before it started", exit_code=130
        )
        with ledger_errors(self.path), transaction(self._connection()) as connection:
            values = {"id": identifier, "now": time.time(), "failure": failure.model_dump_json()}
            if connection.execute(sql.REQUEST_CANCEL, {"id": identifier}).rowcount:
                _record_event(connection, identifier, "cancel requested", by=current_user())
            connection.execute(sql.CANCEL_QUEUED, values)
        row = self._read_row(identifier)
        if (
            row["state"] == OperationState.RUNNING.value
            and self._shares_pid_namespace(row)
            and processes.is_alive(row["pid"], row["pid_start"])
        ):
            processes.send_signal({row["pid"]}, signal.SIGTERM)  # it would look by itself soon: this only wakes it
        return self.get(identifier)

    def follow(self, identifier: int, offset: int = 0, poll: float = POLL_SECONDS) -> Iterator[Update]:
        """Yield updates until the operation has ended, the first one at once. Any number of followers may do so.

        `offset` is the `offset` of an earlier update, to continue where another follower stopped. Leaving the loop
        only stops following; the operation continues.
        """
        log = LogReader(self.log_path(identifier), offset)
        before: tuple[Operation, Stages] | None = None
        try:
            while True:
                operation, stages = self.get(identifier), self.stages(identifier)
                lines = log.read()  # after the state: once that says it has ended, the log is complete
                now = (operation.model_copy(update={"seconds": 0.0}), stages)
                if lines or now != before:
                    yield Update(operation=operation, stages=stages, lines=lines, offset=log.offset)
                before = now
                if lines:
                    continue
                if not operation.state.live:
                    return
                time.sleep(poll)
        finally:
            log.close()

    def wait(self, identifier: int, timeout: float | None = None) -> Operation:
        """Wait until the operation has ended, at most `timeout` seconds, and return its state."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (operation := self.get(identifier)).state.live:
            if deadline is not None and time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        return operation

    # -- the rows ---------------------------------------------------------------------------------------------------

    def _connection(self) -> sqlite3.Connection:
        return shared_connection(self.path)

    def _read(self, statement: str, values: Mapping[str, object]) -> Rows:
        return read_rows(self.path, statement, values)

    def _read_row(self, identifier: int) -> sqlite3.Row:
        rows = self._read(sql.GET, {"id": identifier})
        if not rows:
            raise InputError(
                f"Operation {identifier}", "there is no operation with that number", "list them with: xaiva ops list"
            )
        return rows[0]

    def _parse_operation(self, row: sqlite3.Row) -> Operation:
        values = {name: row[name] for name in row.keys() if name in Operation.model_fields}  # noqa: SIM118 - a Row
        values |= {"seconds": self._seconds_worked(row) or row["seconds"], "log": os.fspath(self.log_path(row["id"]))}
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

    # -- starting ---------------------------------------------------------------------------------------------------

    def _take_key(self, key: str, change: Callable[[sqlite3.Connection], int]) -> int:
        """Run `change`, by which an operation takes its key. Raises OperationBusy when another one holds it."""
        while True:
            self._reap_crashed()
            try:
                with ledger_errors(self.path), transaction(self._connection()) as connection:
                    return change(connection)
            except sqlite3.IntegrityError:
                holder = self._read(sql.HOLDER, {"key": key})
                if holder:  # otherwise it has just ended: try again
                    raise OperationBusy(self._parse_operation(holder[0])) from None

    def _spawn(self, identifier: int) -> Operation:
        row = self._read_row(identifier)
        log = self.log_path(identifier)
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            spawn_supervisor(self._place, identifier, row["token"], log)
        except OSError as error:
            failure = OperationFailure(
                what=f"{row['kind']} {row['subject']} could not be started",
                why=os_reason(error),
                remedy=_spawn_remedy(error),
            )
            self._finish(row, OperationState.FAILED, failure)
            raise failure.error() from error
        return self._parse_operation(self._read_row(identifier))

    def _prune(self) -> None:
        """Delete the oldest operations beyond the number to keep, with their logs."""
        old = self._read(sql.EXPIRED, {"keep": self._place.keep})
        for row in old:
            self.log_path(row["id"]).unlink(missing_ok=True)
            with ledger_errors(self.path), transaction(self._connection(), durable=False) as connection:
                connection.execute(sql.DELETE, {"id": row["id"]})

    # -- crashes ----------------------------------------------------------------------------------------------------

    def _reap_crashed(self) -> None:
        """Mark live operations whose supervisor is gone as crashed, and clean up after them."""
        for row in self._read(sql.LIVE, {"limit": -1}):
            if self._has_died(row) and os.access(self.path.parent, os.W_OK):
                self._mark_crashed(row)

    def _has_died(self, row: sqlite3.Row) -> bool:
        if row["boot"] != processes.boot_id():
            return True  # the machine was restarted in the meantime, or this is another machine
        expired = bool(time.monotonic() > row["lease"])
        if row["state"] == OperationState.QUEUED.value or not self._shares_pid_namespace(row):
            return expired
        return not processes.is_alive(row["pid"], row["pid_start"])

    @staticmethod
    def _shares_pid_namespace(row: sqlite3.Row) -> bool:
        """Whether the row's pid is valid in this process's pid namespace."""
        return bool(row["namespace"] == processes.pid_namespace() and row["boot"] == processes.boot_id())

    def _mark_crashed(self, row: sqlite3.Row) -> None:
        words = "\n".join(tail(self.log_path(row["id"]), CRASH_LOG_LINES))
        failure = OperationFailure(
            what=f"{row['kind']} {row['subject']} crashed",
            why="its process is gone: it was killed, ran out of memory, or the machine went down"
            + (LAST_OUTPUT + words if words else ""),
            remedy=f"start it again; it continues from what is complete: xaiva ops retry {row['id']}",
        )
        self._finish(row, OperationState.CRASHED, failure)

    def _finish(self, row: sqlite3.Row, state: OperationState, failure: OperationFailure) -> None:
        """End an operation whose supervisor is gone. Its leftovers are removed before its key becomes free."""
        with ledger_errors(self.path), transaction(self._connection()) as connection:
            now = connection.execute(sql.GET, {"id": row["id"]}).fetchone()
            if now is None or (now["state"], now["attempt"]) != (row["state"], row["attempt"]):
                return  # another process was faster
            processes.kill_token_holders(row["token"])
            self._place.clean_up(row["key"], row["temporary"])
            for path in (self._place.operation_file(row["id"], ".reserve"), draft_path(self.log_path(row["id"]))):
                path.unlink(missing_ok=True)
            values = {
                "id": row["id"],
                "attempt": row["attempt"],
                "state": state.value,
                "now": time.time(),
                "seconds": self._seconds_worked(row),
                "result": None,
                "failure": failure.model_dump_json(),
            }
            connection.execute(sql.FINISH, values)
            for stage in self.stages(row["id"]):
                if stage.state is StageState.RUNNING:
                    ended = stage.model_copy(update={"state": StageState.FAILED, "ended": time.time()})
                    connection.execute(
                        sql.SET_STAGE, {"operation": row["id"], "id": ended.id, "body": ended.model_dump_json()}
                    )
            _record_event(connection, row["id"], state.value)

    @staticmethod
    def _seconds_worked(row: sqlite3.Row) -> float:
        """How many seconds a live operation has worked, up to its last sign of life."""
        if row["state"] != OperationState.RUNNING.value or row["boot"] != processes.boot_id():
            return 0.0
        return max(min(time.monotonic(), float(row["lease"])) - float(row["started_tick"]), 0.0)


def _parse_stage(identifier: str, body: str) -> Stage:
    """A stage from its JSON; an unreadable one becomes a stage whose title says so."""
    try:
        return Stage.model_validate_json(body)
    except ValueError as error:
        title = f"{identifier}: this stage cannot be read: {describe_misfit(error)}"
        return Stage(id=identifier, title=title, state=StageState(""))


def _spawn_remedy(error: OSError) -> str:
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return "close other programs: this machine has no memory or no processes left to start another one"
    return write_remedy(error)


def raise_for_failure(operation: Operation) -> None:
    """Raise the operation's error, if it ended with one."""
    if operation.failure is not None:
        raise operation.failure.error()


def current_user() -> str:
    """The name of this process's user, with the client's address in an SSH session."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    client = os.environ.get("SSH_CLIENT", "").split(" ")[0]
    return f"{name} from {client}" if client else name


def _queued_values() -> dict[str, object]:
    return {
        "token": uuid.uuid4().hex,
        "created": time.time(),
        "boot": processes.boot_id(),
        "lease": time.monotonic() + START_SECONDS,
        "by": current_user(),
    }


def _record_event(connection: sqlite3.Connection, identifier: int, what: str, by: str = "") -> None:
    connection.execute(sql.PUT_EVENT, {"id": identifier, "now": time.time(), "what": what, "by": by})
