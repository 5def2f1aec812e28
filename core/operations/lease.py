"""The lease a supervisor holds on its operation. The attempt number fences off writes of older attempts.

The outcome is written durably and retried until it succeeds. The lease and the stages are not: the next write
replaces them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pydantic import JsonValue
from pydantic_core import to_json

from core.operations import processes, rows, sql
from core.operations.database import connect, ledger_errors, transaction
from core.operations.liveness import lock_file
from core.operations.model import OperationFailure, OperationState
from core.operations.place import Place
from core.operations.retries import Requests
from core.operations.rows import title_of
from core.progress import Stage

LEASE_SECONDS = 10.0
RESERVE_BYTES = 256 << 10  # released when the disk is full, so that the outcome can still be written
RETRY_SECONDS = 600.0  # how long writing the outcome is retried on a full disk
RETRY_PAUSE = 0.2


class Lease:
    """One attempt at one operation, from the row of the ledger that this process has taken."""

    def __init__(self, place: Place, row: sqlite3.Row, connection: sqlite3.Connection, tick: float) -> None:
        self.id: int = row["id"]
        self.kind: str = row["kind"]
        self.subject: str = row["subject"]
        self.title = title_of(row)
        self.key: str = row["key"]
        self.target: str = row["target"]
        self.options: dict[str, JsonValue] = json.loads(row["options"])
        self.request = f"{self.id} of {row['created']}"
        """Names the operation, also where another ledger has used its number."""
        self.attempt: int = row["attempt"]
        self.failures: int = row["failures"]
        """Attempts that failed since somebody requested the operation."""
        self.crashes: int = row["crashes"]
        """How many of these were crashes."""
        self.token: str = row["token"]
        self.temporary: str = row["temporary"]
        self._connection = connection
        self._tick = tick
        self._reserve = place.operation_file(self.id, ".reserve")
        self._lock = lock_file(place, self.id, self.token)
        self._positions: dict[str, int] = {}
        _write_reserve(self._reserve)

    def renew(self) -> bool:
        """Renew the lease; False when another process has ended this attempt in the meantime."""
        values = {"id": self.id, "attempt": self.attempt, "lease": time.monotonic() + LEASE_SECONDS}
        try:
            with transaction(self._connection, durable=False) as connection:
                return connection.execute(sql.RENEW_LEASE, values).rowcount == 1
        except sqlite3.Error:
            return True  # a full disk or a long lock does not mean that the lease is lost

    def requests(self) -> Requests:
        """What somebody has asked of the operation. One that is no longer in the ledger is to be cancelled."""
        try:
            row = self._connection.execute(sql.REQUESTS, {"id": self.id}).fetchone()
        except sqlite3.Error:
            return Requests()
        return Requests(cancel=True) if row is None else Requests(bool(row[0]), bool(row[1]))

    def back_to_queue(self, what: str, pause: float = 0, *, failed: bool = False, crashed: bool = False) -> bool:
        """Put the operation back to its place in the queue. `what` goes into its history.

        `failed`: this attempt has failed, `crashed`: by a crash. It is not started again for `pause` seconds. False
        when somebody has ended this attempt or asked to cancel it: nothing has changed then. Raises TimeoutError.
        """
        values = {
            "id": self.id,
            "attempt": self.attempt,
            "token": uuid.uuid4().hex,
            "failures": self.failures + failed,
            "crashes": self.crashes + crashed,
            "boot": processes.boot_id(),
            "not_before": time.monotonic() + pause,
        }

        def change(connection: sqlite3.Connection) -> bool:
            if not connection.execute(sql.BACK_TO_QUEUE, values).rowcount:
                return False
            connection.execute(sql.CLEAR_STAGES, values)
            rows.record_event(connection, self.id, what)
            return True

        if not self._write(change):
            return False
        self._remove_files()
        return True

    def waits(self) -> bool:
        """Whether the operation still waits in the queue, where `back_to_queue` has put it."""
        try:
            return self._connection.execute(sql.WAITS, {"id": self.id, "attempt": self.attempt}).fetchone() is not None
        except sqlite3.Error:
            return True

    def write_stages(self, stages: Iterable[Stage]) -> bool:
        """Write the newest state of these stages; False when the ledger could not be written now."""
        records = [
            {
                "operation": self.id,
                "id": stage.id,
                "position": self._positions.setdefault(stage.id, len(self._positions)),
                "body": stage.model_dump_json(),
            }
            for stage in stages
        ]
        try:
            with transaction(self._connection, durable=False) as connection:
                connection.executemany(sql.PUT_STAGE, records)
        except sqlite3.Error:
            return False
        return True

    def finish(
        self, state: OperationState, result: Mapping[str, JsonValue] | None, failure: OperationFailure | None
    ) -> None:
        """Write the outcome, retrying while the disk is full. An attempt that was fenced off changes nothing.

        Raises TimeoutError after RETRY_SECONDS.
        """
        values = {
            "id": self.id,
            "attempt": self.attempt,
            "state": state.value,
            "now": time.time(),
            "seconds": time.monotonic() - self._tick,
            "result": None if result is None else to_json(result, inf_nan_mode="null").decode(),
            "failure": failure.model_dump_json() if failure else None,
        }

        def change(connection: sqlite3.Connection) -> bool:
            connection.execute(sql.FINISH, values)
            rows.record_event(connection, self.id, state.value)
            return True

        self._write(change)
        self._remove_files()

    def _remove_files(self) -> None:
        for path in (self._reserve, self._lock):
            path.unlink(missing_ok=True)

    def _write(self, change: Callable[[sqlite3.Connection], bool]) -> bool:
        """Make a durable change of the state, retrying while the disk is full; returns what `change` returns.

        False, with nothing changed, when somebody has ended this attempt or cleans up after it.
        """
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                with transaction(self._connection) as connection:
                    held = connection.execute(sql.HOLDS, {"id": self.id, "token": self.token}).fetchone()
                    return held is not None and change(connection)
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the outcome of operation {self.id} could not be written") from None
            self._reserve.unlink(missing_ok=True)
            time.sleep(RETRY_PAUSE)


def acquire_lease(place: Place, identifier: int, token: str, temporary: str) -> Lease | None:
    """Take a queued operation; None when it was cancelled or another supervisor has taken it. Raises XaivaError."""
    connection = connect(place.ledger, place.network_remedy)
    tick = time.monotonic()
    values = {
        "id": identifier,
        "now": time.time(),
        "tick": tick,
        "boot": processes.boot_id(),
        "namespace": processes.pid_namespace(),
        "pid": os.getpid(),
        "pid_start": processes.start_time(os.getpid()),
        "lease": tick + LEASE_SECONDS,
        "temporary": temporary,
        "token": token,
    }
    with ledger_errors(place.ledger), transaction(connection):
        if not connection.execute(sql.ACQUIRE, values).rowcount:
            lock_file(place, identifier, token).unlink(missing_ok=True)
            return None
        row = connection.execute(sql.GET, values).fetchone()
        rows.record_event(connection, identifier, f"started, attempt {row['attempt']}")
    return Lease(place, row, connection, tick)


def _write_reserve(path: Path) -> None:
    try:
        with open(path, "wb") as file:
            file.write(bytes(RESERVE_BYTES))
    except OSError:
        path.unlink(missing_ok=True)  # the disk is full already: the outcome will be retried until there is room
