"""All SQL statements of the ledger.

An operation is live while its state is queued or running. The partial unique index lets only one live operation hold
a key. A queued operation waits while its lease is 0, and is being started once it has one. Every statement that changes
the state of a running operation names its attempt, so that an older attempt that is still alive changes nothing
(fencing).
"""

from __future__ import annotations

VERSION = 2

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
    failure          TEXT,                        -- JSON object
    priority         INTEGER NOT NULL DEFAULT 0,  -- a higher one is started first
    resources        TEXT    NOT NULL DEFAULT '[]', -- JSON list of the resources it uses while it runs
    position         INTEGER NOT NULL DEFAULT 0,  -- its place in the queue, counted over all priorities
    request_key      TEXT    NOT NULL DEFAULT '', -- names the request that started it; '' for none
    failures         INTEGER NOT NULL DEFAULT 0,  -- attempts that failed since somebody requested it
    crashes          INTEGER NOT NULL DEFAULT 0,  -- how many of these were crashes of its own process
    stop_requested   INTEGER NOT NULL DEFAULT 0,  -- it has to stop and to go back into the queue
    not_before       REAL    NOT NULL DEFAULT 0   -- monotonic second of boot `boot` before which it is not started
);
CREATE UNIQUE INDEX one_live_operation_a_key ON operation (key) WHERE state IN ('queued','running');
CREATE UNIQUE INDEX one_operation_a_request ON operation (request_key) WHERE request_key != '';
CREATE INDEX operation_by_state ON operation (state);
CREATE INDEX operation_by_position ON operation (position);
CREATE TABLE stage (
    operation INTEGER NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    id        TEXT    NOT NULL,
    position  INTEGER NOT NULL,
    body      TEXT    NOT NULL,                   -- JSON of core.progress.Stage
    PRIMARY KEY (operation, id)
) WITHOUT ROWID;
CREATE TABLE event (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice
    operation INTEGER NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    time      REAL    NOT NULL,
    what      TEXT    NOT NULL,
    by        TEXT    NOT NULL DEFAULT '',
    state     TEXT    NOT NULL DEFAULT ''         -- the state of the operation after it; '' when not known
);
CREATE INDEX event_by_operation ON event (operation);
CREATE TABLE flag (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
"""

# From version 1. A supervisor of the older xaiva that still runs keeps working: its statements stay valid.
MIGRATION_TO_2 = """
ALTER TABLE operation ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operation ADD COLUMN resources TEXT NOT NULL DEFAULT '[]';
ALTER TABLE operation ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operation ADD COLUMN request_key TEXT NOT NULL DEFAULT '';
ALTER TABLE operation ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operation ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operation ADD COLUMN stop_requested INTEGER NOT NULL DEFAULT 0;
ALTER TABLE operation ADD COLUMN not_before REAL NOT NULL DEFAULT 0;
UPDATE operation SET position = id;
CREATE UNIQUE INDEX one_operation_a_request ON operation (request_key) WHERE request_key != '';
CREATE INDEX operation_by_position ON operation (position);
ALTER TABLE event RENAME TO old_event;
DROP INDEX event_by_operation;
CREATE TABLE event (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    operation INTEGER NOT NULL REFERENCES operation (id) ON DELETE CASCADE,
    time      REAL    NOT NULL,
    what      TEXT    NOT NULL,
    by        TEXT    NOT NULL DEFAULT '',
    state     TEXT    NOT NULL DEFAULT ''
);
INSERT INTO event (operation, time, what, by, state)
SELECT operation, time, what, by, CASE
    WHEN what IN ('done','failed','cancelled','crashed') THEN what
    WHEN what LIKE 'started, attempt %' THEN 'running'
    WHEN what IN ('requested','requested again') THEN 'queued'
    ELSE '' END
FROM old_event ORDER BY rowid;
DROP TABLE old_event;
CREATE INDEX event_by_operation ON event (operation);
CREATE TABLE flag (
    name  TEXT    PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
"""

INSERT = """
INSERT INTO operation (kind, subject, key, target, options, state, token, created, boot, lease, by,
                       priority, resources, request_key, position)
VALUES (:kind, :subject, :key, :target, :options, 'queued', :token, :now, '', 0, :by,
        :priority, :resources, :request_key, (SELECT coalesce(max(position), 0) + 1 FROM operation))
"""

GET = "SELECT * FROM operation WHERE id = :id"
LIST = "SELECT * FROM operation ORDER BY id DESC LIMIT :limit"
LIVE = "SELECT * FROM operation WHERE state IN ('queued','running') ORDER BY id DESC LIMIT :limit"
HOLDER = "SELECT * FROM operation WHERE key = :key AND state IN ('queued','running')"
REQUESTED_BY = "SELECT id FROM operation WHERE request_key = :request_key AND request_key != ''"
PAGE = """
SELECT * FROM operation
WHERE (:kind = '' OR kind = :kind)
  AND (:state IS NULL OR state = :state)
  AND (:subject IS NULL OR subject = :subject)
  AND created >= :since
  AND (:until = 0 OR created < :until)
  AND (:before = 0 OR id < :before)
ORDER BY id DESC LIMIT :limit
"""

EVERY_KEY = "SELECT id, kind, subject, key, state IN ('queued','running') AS live FROM operation"

# -- the queue: without the columns that may be large

HELD = """
SELECT id, kind, subject, key, state, attempt, token, boot, namespace, pid, pid_start, lease, started_tick, temporary,
       failures, crashes, cancel_requested, stop_requested
FROM operation WHERE state IN ('queued','running') AND lease > 0
"""
QUEUE = """
SELECT id, kind, subject, priority, resources, position, boot, not_before, lease > 0 AS held
FROM operation WHERE state IN ('queued','running')
"""
ANY_WAITING = "SELECT 1 FROM operation WHERE state = 'queued' AND lease = 0 LIMIT 1"
SET_RESOURCES = """
UPDATE operation SET resources = :resources
WHERE kind = :kind AND state = 'queued' AND lease = 0 AND resources != :resources
"""
MARK_STARTING = """
UPDATE operation SET lease = :lease, boot = :boot WHERE id = :id AND state = 'queued' AND lease = 0
"""

ACQUIRE = """
UPDATE operation
SET state = 'running', attempt = attempt + 1, started = :now, started_tick = :tick, ended = 0, seconds = 0,
    boot = :boot, namespace = :namespace, pid = :pid, pid_start = :pid_start, lease = :lease, temporary = :temporary
WHERE id = :id AND token = :token AND state = 'queued' AND lease > 0
"""
RENEW_LEASE = "UPDATE operation SET lease = :lease WHERE id = :id AND attempt = :attempt AND state = 'running'"
FINISH = """
UPDATE operation
SET state = :state, ended = :now, seconds = :seconds, result = :result, failure = :failure
WHERE id = :id AND attempt = :attempt AND state IN ('queued','running')
"""
BACK_TO_QUEUE = """
UPDATE operation
SET state = 'queued', lease = 0, boot = :boot, namespace = '', pid = 0, started = 0, temporary = '',
    stop_requested = 0, token = :token, failures = :failures, crashes = :crashes, not_before = :not_before
WHERE id = :id AND attempt = :attempt AND state IN ('queued','running') AND cancel_requested = 0
"""
# For the clean-up after a supervisor that is gone. Without a namespace the lock of the new token tells who lives.
CLAIM = """
UPDATE operation SET token = :token, boot = :boot, namespace = '', pid = 0, lease = :lease WHERE id = :id
"""
REQUEUE = """
UPDATE operation
SET state = 'queued', cancel_requested = 0, stop_requested = 0, failures = 0, crashes = 0, result = NULL,
    failure = NULL, started = 0, ended = 0, seconds = 0, boot = '', pid = 0, lease = 0, not_before = 0,
    token = :token, by = :by,
    target = :target, resources = :resources, position = (SELECT max(position) + 1 FROM operation)
WHERE id = :id AND state IN ('failed','cancelled','crashed')
"""
REQUEST_CANCEL = """
UPDATE operation SET cancel_requested = 1 WHERE id = :id AND state IN ('queued','running') AND cancel_requested = 0
"""
CANCEL_QUEUED = """
UPDATE operation SET state = 'cancelled', ended = :now, failure = :failure WHERE id = :id AND state = 'queued'
"""
REQUEST_STOP = "UPDATE operation SET stop_requested = 1 WHERE state = 'running'"
HOLDS = "SELECT 1 FROM operation WHERE id = :id AND token = :token AND state = 'running'"
WAITS = "SELECT 1 FROM operation WHERE id = :id AND attempt = :attempt AND state = 'queued' AND lease = 0"
REQUESTS = "SELECT cancel_requested, stop_requested FROM operation WHERE id = :id"

STAGES = "SELECT id, body FROM stage WHERE operation = :id ORDER BY position"
PUT_STAGE = """
INSERT INTO stage (operation, id, position, body) VALUES (:operation, :id, :position, :body)
ON CONFLICT (operation, id) DO UPDATE SET body = excluded.body
"""
SET_STAGE = "UPDATE stage SET body = :body WHERE operation = :operation AND id = :id"
CLEAR_STAGES = "DELETE FROM stage WHERE operation = :id"

# The state is that of the operation now, so an event is recorded after the change that it describes.
PUT_EVENT = """
INSERT INTO event (operation, time, what, by, state)
VALUES (:id, :now, :what, :by, (SELECT state FROM operation WHERE id = :id))
"""
LAST_EVENT = "SELECT what FROM event WHERE operation = :id ORDER BY seq DESC LIMIT 1"
EVENTS = "SELECT time, what, by FROM event WHERE operation = :id ORDER BY seq"
STORED_EVENTS = """
SELECT seq, time, operation, what, by, state FROM event
WHERE seq > :after AND (:operation = 0 OR operation = :operation) ORDER BY seq LIMIT :limit
"""
# An operation that was retried may have ended in this state before.
FINAL_EVENT = """
SELECT max(event.seq) FROM event JOIN operation ON operation.id = event.operation AND operation.state = event.state
WHERE operation.id = :id AND operation.state NOT IN ('queued','running')
"""
NEWEST_EVENT = "SELECT seq FROM sqlite_sequence WHERE name = 'event'"
# The number after the newest event that was deleted with its operation: from there on none is missing.
OLDEST_EVENT = "SELECT coalesce((SELECT value FROM flag WHERE name = 'events_deleted'), 0) + 1"

EXPIRED = """
SELECT id FROM operation
WHERE state NOT IN ('queued','running')
  AND (ended < :oldest OR
       id NOT IN (SELECT id FROM operation WHERE state NOT IN ('queued','running')
                  ORDER BY ended DESC, id DESC LIMIT :keep))
"""
DELETE = "DELETE FROM operation WHERE id = :id AND state NOT IN ('queued','running')"
LAST_EVENT_NUMBER = "SELECT coalesce(max(seq), 0) FROM event WHERE operation = :id"
COUNT_DELETED_EVENTS = """
INSERT INTO flag (name, value) VALUES ('events_deleted', :seq)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)
"""

QUEUE_HELD = "SELECT 1 FROM flag WHERE name = 'queue_held' AND value = 1"
SET_QUEUE_HELD = """
INSERT INTO flag (name, value) VALUES ('queue_held', :value) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
