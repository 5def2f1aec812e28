"""The ledger's first version: its tables and statements as an older xaiva has them, and a ledger made with them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

SCHEMA = """
CREATE TABLE operation (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    kind             TEXT    NOT NULL,
    subject          TEXT    NOT NULL,
    key              TEXT    NOT NULL,
    target           TEXT    NOT NULL,            -- module:function
    options          TEXT    NOT NULL,            -- JSON object; never a secret
    state            TEXT    NOT NULL CHECK (state IN ('queued','running','done','failed','cancelled','crashed')),
    attempt          INTEGER NOT NULL DEFAULT 0,
    token            TEXT    NOT NULL,            -- in the environment of every process of this operation
    created          REAL    NOT NULL,            -- Unix times: for people
    started          REAL    NOT NULL DEFAULT 0,
    ended            REAL    NOT NULL DEFAULT 0,
    started_tick     REAL    NOT NULL DEFAULT 0,  -- monotonic seconds of boot `boot`: for durations and the lease
    seconds          REAL    NOT NULL DEFAULT 0,
    boot             TEXT    NOT NULL,
    namespace        TEXT    NOT NULL DEFAULT '', -- pid namespace of `pid`
    pid              INTEGER NOT NULL DEFAULT 0,  -- the supervisor
    pid_start        INTEGER NOT NULL DEFAULT 0,  -- and its start time, since pids are used again
    lease            REAL    NOT NULL,            -- monotonic second until which the holder is believed to live
    temporary        TEXT    NOT NULL DEFAULT '', -- folder of temporary files, removed at the end
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    by               TEXT    NOT NULL,
    result           TEXT,                        -- JSON object
    failure          TEXT                         -- JSON object
);
CREATE UNIQUE INDEX one_live_operation_a_key ON operation (key) WHERE state IN ('queued','running');
CREATE INDEX operation_by_state ON operation (state);
CREATE TABLE stage (
    operation INTEGER NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    id        TEXT    NOT NULL,
    position  INTEGER NOT NULL,
    body      TEXT    NOT NULL,                   -- JSON of core.progress.Stage
    PRIMARY KEY (operation, id)
) WITHOUT ROWID;
CREATE TABLE event (
    operation INTEGER NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    time      REAL    NOT NULL,
    what      TEXT    NOT NULL,
    by        TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX event_by_operation ON event (operation);
"""

INSERT = """
INSERT INTO operation (kind, subject, key, target, options, state, token, created, boot, lease, by)
VALUES (:kind, :subject, :key, :target, :options, 'queued', :token, :created, :boot, :lease, :by)
"""
PUT_EVENT = "INSERT INTO event (operation, time, what, by) VALUES (:id, :now, :what, :by)"
FINISH = """
UPDATE operation
SET state = :state, ended = :now, seconds = :seconds, result = :result, failure = :failure
WHERE id = :id AND attempt = :attempt AND state IN ('queued','running')
"""
RENEW_LEASE = "UPDATE operation SET lease = :lease WHERE id = :id AND attempt = :attempt AND state = 'running'"


def write_ledger(path: Path) -> None:
    """Write a ledger with an operation that is done and one that failed."""
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        for number, state in ((1, "done"), (2, "failed")):
            connection.execute(
                INSERT,
                {
                    "kind": "quick",
                    "subject": f"thing-{number}",
                    "key": f"preset:thing-{number}",
                    "target": "tests.operations.sample_kinds:quick",
                    "options": "{}",
                    "token": f"token-{number}",
                    "created": 1_700_000_000.0 + number,
                    "boot": "a boot of long ago",
                    "lease": 30.0,
                    "by": "somebody",
                },
            )
            failure = '{"what": "It failed", "why": "long ago"}' if state == "failed" else None
            connection.execute(
                FINISH,
                {"id": number, "attempt": 0, "state": state, "now": 1_700_000_100.0, "seconds": 5.0}
                | {"result": "{}", "failure": failure},
            )
            for what in ("requested", "started, attempt 1", "cancel requested", state):
                connection.execute(PUT_EVENT, {"id": number, "now": 1_700_000_000.0, "what": what, "by": ""})
