"""All SQL statements of the ledger.

An operation is live while its state is queued or running. The partial unique index lets only one live operation hold
a key. Every statement that changes the state of a running operation names its attempt, so that an older attempt that
is still alive changes nothing (fencing).
"""

from __future__ import annotations

VERSION = 1

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

GET = "SELECT * FROM operation WHERE id = :id"
LIST = "SELECT * FROM operation ORDER BY id DESC LIMIT :limit"
LIVE = "SELECT * FROM operation WHERE state IN ('queued','running') ORDER BY id DESC LIMIT :limit"
HOLDER = "SELECT * FROM operation WHERE key = :key AND state IN ('queued','running')"

EVERY_KEY = "SELECT id, kind, subject, key, state IN ('queued','running') AS live FROM operation"

ACQUIRE = """
UPDATE operation
SET state = 'running', attempt = attempt + 1, started = :now, started_tick = :tick, ended = 0, seconds = 0,
    boot = :boot, namespace = :namespace, pid = :pid, pid_start = :pid_start, lease = :lease, temporary = :temporary
WHERE id = :id AND token = :token AND state = 'queued'
"""
RENEW_LEASE = "UPDATE operation SET lease = :lease WHERE id = :id AND attempt = :attempt AND state = 'running'"
FINISH = """
UPDATE operation
SET state = :state, ended = :now, seconds = :seconds, result = :result, failure = :failure
WHERE id = :id AND attempt = :attempt AND state IN ('queued','running')
"""
REQUEUE = """
UPDATE operation
SET state = 'queued', cancel_requested = 0, result = NULL, failure = NULL, started = 0, ended = 0, seconds = 0,
    boot = :boot, pid = 0, lease = :lease, token = :token, by = :by, target = :target
WHERE id = :id AND state IN ('failed','cancelled','crashed')
"""
REQUEST_CANCEL = """
UPDATE operation SET cancel_requested = 1 WHERE id = :id AND state IN ('queued','running') AND cancel_requested = 0
"""
CANCEL_QUEUED = """
UPDATE operation SET state = 'cancelled', ended = :now, failure = :failure WHERE id = :id AND state = 'queued'
"""
CANCEL_REQUESTED = "SELECT cancel_requested FROM operation WHERE id = :id"

STAGES = "SELECT id, body FROM stage WHERE operation = :id ORDER BY position"
PUT_STAGE = """
INSERT INTO stage (operation, id, position, body) VALUES (:operation, :id, :position, :body)
ON CONFLICT (operation, id) DO UPDATE SET body = excluded.body
"""
SET_STAGE = "UPDATE stage SET body = :body WHERE operation = :operation AND id = :id"
CLEAR_STAGES = "DELETE FROM stage WHERE operation = :id"

PUT_EVENT = "INSERT INTO event (operation, time, what, by) VALUES (:id, :now, :what, :by)"
EVENTS = "SELECT time, what, by FROM event WHERE operation = :id ORDER BY rowid"

EXPIRED = """
SELECT id FROM operation
WHERE state NOT IN ('queued','running')
  AND id NOT IN (SELECT id FROM operation WHERE state NOT IN ('queued','running') ORDER BY id DESC LIMIT :keep)
"""
DELETE = "DELETE FROM operation WHERE id = :id AND state NOT IN ('queued','running')"
