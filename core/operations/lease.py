"""The lease a supervisor holds on its operation. The attempt number fences off writes of older attempts.

The outcome is written durably and retried until it succeeds. The lease and the stages are not: the next write
replaces them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import JsonValue

from core.operations import processes, sql
from core.operations.database import connect, ledger_errors, transaction
from core.operations.model import OperationFailure, OperationState
from core.operations.place import Place
from core.progress import Stage

LEASE_SECONDS = 10.0
RESERVE_BYTES = 256 << 10  # released when the disk is full, so that the outcome can still be written
RETRY_SECONDS = 600.0  # how long writing the outcome is retried on a full disk
RETRY_PAUSE = 0.2


class Lease:
    """One attempt at one operation, from the row of the ledger that this process has taken."""

    def __init__(self, place: Place, row: sqlite3.Row, connection: sqlite3.Connection, tick: float) -> None:
        self.id: int = row["id"]
        self.subject: str = row["subject"]
        self.title = f"{row['kind']} {self.subject}".strip()
        self.key: str = row["key"]
        self.target: str = row["target"]
        self.options: dict[str, JsonValue] = json.loads(row["options"])
        self.attempt: int = row["attempt"]
        self.token: str = row["token"]
        self.temporary: str = row["temporary"]
        self._connection = connection
        self._tick = tick
        self._reserve = place.operation_file(self.id, ".reserve")
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

    def cancel_requested(self) -> bool:
        """Whether somebody has asked to cancel the operation."""
        try:
            row = self._connection.execute(sql.REQUESTS, {"id": self.id}).fetchone()
        except sqlite3.Error:
            return False
        return row is None or bool(row[0])

    def write_stages(self, stages: Iterable[Stage]) -> bool:
        """Write the newest state of these stages; False when the ledger could not be written now."""
        rows = [
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
                connection.executemany(sql.PUT_STAGE, rows)
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
            "result": None if result is None else json.dumps(result),
            "failure": failure.model_dump_json() if failure else None,
        }
        deadline = time.monotonic() + RETRY_SECONDS
        while not self._try_finish(values):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the outcome of operation {self.id} could not be written")
            self._reserve.unlink(missing_ok=True)
            time.sleep(RETRY_PAUSE)
        self._reserve.unlink(missing_ok=True)

    def _try_finish(self, outcome: Mapping[str, object]) -> bool:
        try:
            with transaction(self._connection) as connection:
                if connection.execute(sql.FINISH, outcome).rowcount:
                    event = {"id": self.id, "now": time.time(), "what": outcome["state"], "by": ""}
                    connection.execute(sql.PUT_EVENT, event)
        except sqlite3.OperationalError:
            return False
        return True


def acquire_lease(place: Place, identifier: int, token: str, temporary: str) -> Lease | None:
    """Take a queued operation; None when it was cancelled or another supervisor has taken it. Raises XaivaError."""
    connection = connect(place.ledger)
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
            return None
        row = connection.execute(sql.GET, values).fetchone()
        connection.execute(
            sql.PUT_EVENT,
            {"id": identifier, "now": time.time(), "what": f"started, attempt {row['attempt']}", "by": ""},
        )
    return Lease(place, row, connection, tick)


def _write_reserve(path: Path) -> None:
    try:
        with open(path, "wb") as file:
            file.write(bytes(RESERVE_BYTES))
    except OSError:
        path.unlink(missing_ok=True)  # the disk is full already: the outcome will be retried until there is room
