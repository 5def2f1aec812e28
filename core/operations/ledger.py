"""The ledger: the single source of truth about operations.

Any process may read it; a supervisor writes what its operation does.
"""

from __future__ import annotations

import getpass
import json
import logging
import os
import signal
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from core.errors import InputError, XaivaError
from core.operations import dispatcher, processes, sql
from core.operations.database import ledger_errors, read_rows, shared_connection, transaction
from core.operations.dispatch import lacking_resource
from core.operations.endings import STOPPED_EVENT, back_to_queue
from core.operations.liveness import shares_pid_namespace
from core.operations.log import LogReader
from core.operations.model import (
    Operation,
    OperationBusy,
    OperationEvent,
    OperationFailure,
    OperationState,
    StoredEvent,
    Update,
)
from core.operations.place import Place
from core.operations.retention import prune, remove_strays
from core.operations.rows import parse_operation, parse_stage, record_event, title_of
from core.progress import Stage

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25  # how often a follower reads the ledger
STOP_SECONDS = 1.5  # how long a planned stop waits for running operations
# Named here because `list` is a method below.
Operations: TypeAlias = list[Operation]
Stages: TypeAlias = list[Stage]
Events: TypeAlias = list[OperationEvent]
StoredEvents: TypeAlias = list[StoredEvent]
Rows: TypeAlias = list[sqlite3.Row]


class Ledger:
    """Operations of one place. Threads may share it; no file is created until the first operation starts."""

    def __init__(self, place: Place) -> None:
        self.path = place.ledger
        self._place = place
        self._stopped = False  # by `requeue_live`
        self._trouble = ""  # why the last reader could not look after the queue

    def start(
        self,
        kind: str,
        subject: str,
        options: Mapping[str, JsonValue] | None = None,
        *,
        key: str | None = None,
        priority: int = 0,
        by: str | None = None,
        request_key: str = "",
    ) -> Operation:
        """Start an operation in a process of its own, or queue it until its resources have room; return at once.

        `key` names what it needs exclusively (default `preset:<subject>`). `options` are plain JSON without secrets.
        The highest `priority` starts first. `by` is who requests it (default: this process's user). A `request_key`
        that is known already starts nothing: its operation is returned, whatever its state.

        Raises OperationBusy when a live operation holds the key; InputError for an unknown kind, or one that needs
        more of a resource than there is.
        """
        target, resources = self._target(kind), self._resources(kind)
        who = current_user() if by is None else by
        values = {
            "kind": kind,
            "subject": subject,
            "key": key or f"preset:{subject}",
            "target": target,
            "options": json.dumps(dict(options or {})),
            "priority": priority,
            "resources": json.dumps(resources),
            "request_key": request_key,
            "token": uuid.uuid4().hex,
            "now": time.time(),
            "by": who,
        }

        def insert(connection: sqlite3.Connection) -> int:
            known = connection.execute(sql.REQUESTED_BY, values).fetchone()
            if known is not None:
                return int(known["id"])
            identifier = connection.execute(sql.INSERT, values).lastrowid or 0
            record_event(connection, identifier, "requested", by=who)
            return identifier

        prune(self._place)
        return self._launch(self._take_key(str(values["key"]), insert))

    def retry(self, identifier: int, *, by: str | None = None) -> Operation:
        """Start an operation that failed, crashed or was cancelled again, with the same options."""
        row = self._read_row(identifier)
        who = current_user() if by is None else by
        values = {
            "id": identifier,
            "target": self._place.kinds.get(row["kind"], row["target"]),  # an older xaiva may have had it elsewhere
            "resources": json.dumps(self._resources(row["kind"])),
            "token": uuid.uuid4().hex,
            "by": who,
        }

        def requeue(connection: sqlite3.Connection) -> int:
            changed = connection.execute(sql.REQUEUE, values).rowcount
            if changed:
                connection.execute(sql.CLEAR_STAGES, values)
                record_event(connection, identifier, "requested again", by=who)
            return changed

        if not self._take_key(row["key"], requeue):
            raise InputError(
                f"Operation {identifier}",
                f"it is {row['state']}",
                "retry only operations that failed, crashed or were cancelled",
            )
        return self._launch(identifier)

    def dispatch(self) -> None:
        """Start what has room: for the start of a service or console. This also ends what `requeue_live` began.

        Nothing happens, and no file is created, when there is no ledger yet; nor after `requeue_live` of this object,
        because the service that it belongs to is going down.
        """
        if self._stopped or not self.path.exists() or not os.access(self.path.parent, os.W_OK):
            return
        dispatcher.open_queue(self._place)
        prune(self._place)
        try:
            dispatcher.reap(self._place)
        except XaivaError as error:  # what has died stays; the others can start
            logger.warning("what has died cannot be ended: %s", error)
        remove_strays(self._place)
        dispatcher.dispatch(self._place)

    def requeue_live(self) -> None:
        """Stop all running operations and put them back into the queue, for a planned stop of a service.

        Nothing starts any more until the next start of the service calls `dispatch`. It returns when all have stopped,
        after 1.5 s at most; what has not stopped by then goes back into the queue at the next start.
        """
        self._stopped = True
        if not self.path.exists():
            return
        with ledger_errors(self.path), transaction(self._connection()) as connection:
            connection.execute(sql.SET_QUEUE_HELD, {"value": 1})
            connection.execute(sql.REQUEST_STOP)
        for row in self._read(sql.HELD):
            if row["state"] == OperationState.QUEUED.value:  # a supervisor on its way finds that it is not needed
                back_to_queue(self._place, row, STOPPED_EVENT, failed=False)
            else:
                self._wake(row)
        deadline = time.monotonic() + STOP_SECONDS
        while self._read(sql.HELD) and time.monotonic() < deadline:
            dispatcher.reap(self._place)
            time.sleep(0.02)

    def get(self, identifier: int) -> Operation:
        """The operation's current state. Raises InputError when there is none with that id."""
        reasons = self._look_after()
        return parse_operation(self._place, self._read_row(identifier), reasons.get(identifier, ""))

    def find(self, identifier: int) -> Operation | None:
        """The operation as the ledger has it, without a look whether it has died; None when there is none."""
        rows = self._read(sql.GET, {"id": identifier})
        return parse_operation(self._place, rows[0]) if rows else None

    def list(self, limit: int = 50, live_only: bool = False) -> Operations:
        """Operations, newest first."""
        return self._select(sql.LIVE if live_only else sql.LIST, {"limit": limit})

    def page(
        self,
        *,
        kind: str = "",
        state: str | None = None,
        subject: str | None = None,
        since: float = 0,
        until: float = 0,
        before: int = 0,
        limit: int = 50,
    ) -> Operations:
        """A page of operations, newest first: those that match every filter that is set.

        `since` and `until` are Unix times of the request, the latter exclusive; 0 for no limit. `before` is the id
        of the last operation of the previous page.
        """
        filters = {"kind": kind, "subject": subject, "since": since, "until": until, "before": before, "limit": limit}
        word = state.value if isinstance(state, OperationState) else state
        return self._select(sql.PAGE, {**filters, "state": word})

    def stages(self, identifier: int) -> Stages:
        """The operation's stages in the order in which they were first reported."""
        return [parse_stage(row["id"], row["body"]) for row in self._read(sql.STAGES, {"id": identifier})]

    def events(self, identifier: int) -> Events:
        """The operation's events, oldest first."""
        rows = self._read(sql.EVENTS, {"id": identifier})
        return [OperationEvent(time=row["time"], what=row["what"], by=row["by"]) for row in rows]

    def stored_events(self, after: int, limit: int, operation: int = 0) -> StoredEvents:
        """Events of all operations (or of one) with a `seq` above `after`, oldest first, at most `limit`."""
        rows = self._read(sql.STORED_EVENTS, {"after": after, "limit": limit, "operation": operation})
        return [StoredEvent(**dict(row)) for row in rows]

    def final_event(self, identifier: int) -> int:
        """The `seq` of the event with which the operation ended; 0 while it is live."""
        rows = self._read(sql.FINAL_EVENT, {"id": identifier})
        return int(rows[0][0] or 0) if rows else 0

    def event_range(self) -> tuple[int, int]:
        """The `seq` from which on no event is missing, and that of the newest event ever; (1, 0) before the first."""
        oldest, newest = self._read(sql.OLDEST_EVENT), self._read(sql.NEWEST_EVENT)
        return (int(oldest[0][0]) if oldest else 1), (int(newest[0][0]) if newest else 0)

    def log_path(self, identifier: int) -> Path:
        """The operation's log file, in the format of `core.operations.log`."""
        return self._place.operation_file(identifier, ".log")

    def cancel(self, identifier: int, *, by: str | None = None) -> Operation:
        """Cancel the operation, which takes a second at most. One that has ended stays unchanged."""
        row = self._read_row(identifier)
        again = " again" if row["attempt"] else ""
        failure = OperationFailure(what=f"{title_of(row)} was cancelled before it started{again}", exit_code=130)
        with ledger_errors(self.path), transaction(self._connection()) as connection:
            values = {"id": identifier, "now": time.time(), "failure": failure.model_dump_json()}
            if connection.execute(sql.REQUEST_CANCEL, {"id": identifier}).rowcount:
                record_event(connection, identifier, "cancel requested", by=current_user() if by is None else by)
            if connection.execute(sql.CANCEL_QUEUED, values).rowcount:
                record_event(connection, identifier, OperationState.CANCELLED.value)
        row = self._read_row(identifier)
        if row["state"] == OperationState.RUNNING.value:
            self._wake(row)
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
        return shared_connection(self.path, self._place.network_remedy)

    def _read(self, statement: str, values: Mapping[str, object] | None = None) -> Rows:
        return read_rows(self.path, statement, values or {}, self._place.network_remedy)

    def _read_row(self, identifier: int) -> sqlite3.Row:
        rows = self._read(sql.GET, {"id": identifier})
        if not rows:
            raise InputError(
                f"Operation {identifier}",
                "there is no operation with that number",
                f"list them with: {self._place.command} list",
            )
        return rows[0]

    def _select(self, statement: str, values: Mapping[str, object]) -> Operations:
        reasons = self._look_after()
        rows = self._read(statement, values)
        return [parse_operation(self._place, row, reasons.get(row["id"], "")) for row in rows]

    def _look_after(self) -> dict[int, str]:
        """End what has died and start what has room; returns why the others wait.

        What cannot be repaired now, as on a full disk, is logged once: it can still be read.
        """
        reasons: dict[int, str] = {}
        trouble = ""
        try:
            dispatcher.reap(self._place)
            reasons = dispatcher.reasons(self._place)
        except XaivaError as error:
            trouble = error.summary
        if trouble and trouble != self._trouble:
            logger.warning("operations are shown as the ledger has them, it cannot be brought up to date: %s", trouble)
        self._trouble = trouble
        return reasons

    @staticmethod
    def _wake(row: sqlite3.Row) -> None:
        """Wake the supervisor of a running operation. It would look for requests by itself soon."""
        if shares_pid_namespace(row) and processes.is_alive(row["pid"], row["pid_start"]):
            processes.send_signal({row["pid"]}, signal.SIGTERM)

    # -- starting ---------------------------------------------------------------------------------------------------

    def _target(self, kind: str) -> str:
        target = self._place.kinds.get(kind)
        if target is None:
            raise InputError(
                f"Operation {kind}",
                "there is no operation of this kind",
                f"use one of: {', '.join(sorted(self._place.kinds))}",
            )
        return target

    def _resources(self, kind: str) -> tuple[str, ...]:
        resources, capacity = self._place.rule(kind).resources, self._place.capacity
        lacking = lacking_resource(resources, capacity)
        if lacking:
            raise InputError(
                f"Operation {kind}",
                f"it needs {resources.count(lacking)} of {lacking}, and there is room for {capacity.get(lacking, 1)}",
            )
        return resources

    def _take_key(self, key: str, change: Callable[[sqlite3.Connection], int]) -> int:
        """Run `change`, by which an operation takes its key. Raises OperationBusy when another one holds it."""
        while True:
            dispatcher.reap(self._place)
            try:
                with ledger_errors(self.path), transaction(self._connection()) as connection:
                    return change(connection)
            except sqlite3.IntegrityError:
                rows = self._read(sql.HOLDER, {"key": key})
                if rows:  # otherwise it has just ended: try again
                    why_queued = dispatcher.reasons(self._place).get(rows[0]["id"], "")
                    holder = parse_operation(self._place, rows[0], why_queued)
                    raise OperationBusy(holder, self._place.command) from None

    def _launch(self, identifier: int) -> Operation:
        """Start what has room. Raises the failure when this operation was to start and could not."""
        failure = dispatcher.dispatch(self._place).get(identifier)
        operation = self.get(identifier)
        if failure is not None and not operation.state.live:
            raise failure.error()
        return operation

    def with_request_key(self, key: str) -> Operation | None:
        """The operation that was started with this `request_key`; None for an unknown or empty one."""
        rows = self._read(sql.REQUESTED_BY, {"request_key": key})
        return self.get(rows[0]["id"]) if rows else None


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
