"""The event logger: writes events to disk at once and to the database soon after, and survives any crash."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice, takewhile
from pathlib import Path

from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from core.api_schema import Event, LoggerStatus, Priority
from core.errors import XaivaError, os_reason
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.database.models import EventRow
from core.inference.events import spool_records
from core.inference.events.apply_batch import apply_batch, spool_position
from core.inference.events.json_log import JsonLog
from core.inference.events.row_conversion import event_from_row
from core.inference.events.spool import Spool, SpoolError
from core.inference.events.spool_records import Record

logger = logging.getLogger(__name__)

BATCH_RECORDS = 10  # so many records are written at once
MAX_WAIT_SECONDS = 1.0  # for more records
MAX_BATCH_RECORDS = 500  # in one transaction, while catching up
FIRST_RETRY, LAST_RETRY = 0.5, 30.0  # seconds between retries, doubled each time
DATABASE_SILENT_SECONDS = 10.0  # then the database counts as hanging
STOP_SECONDS = 5.0  # for the database at shutdown; the rest stays in the spool


class EventLogger:
    """Keeps events. Thread-safe; `log` and `update` work before `start`.

    `folder` is the spool's. New and changed events also go to the file `json_log`, one per line.
    Raises SpoolError when the folder cannot be used.
    """

    def __init__(self, database: Database, folder: Path, *, json_log: Path | None = None) -> None:
        self._database = database
        self._spool = Spool(folder)
        self._highest_position = self._spool.end  # the most that the database can have
        self._database_position: int | None = None  # as the database reports it
        self._json_log = JsonLog(json_log) if json_log else None
        self._json_position = 0  # how far the JSON log has come in this run
        self._wake = (
            threading.Condition()
        )  # guards everything below; the writing thread reads its own fields without it
        self._subscribers: list[Callable[[Event], None]] = []
        self._thread: threading.Thread | None = None
        self._position = self._spool.first  # how much of the spool the database has
        self._position_known = False  # whether `_position` was confirmed by the database
        self._write_now = self._retry_now = self._stopping = False
        self._behind_why = self._failing_why = self._refused_why = self._json_why = ""
        self._logged = self._written = 0
        self._waiting = 0
        self._oldest_at: float | None = None
        self._last_progress = time.monotonic()  # when the database last accepted a batch
        for record, _ in self._spool.records(self._position):
            self._oldest_at = self._oldest_at or record.at
            self._waiting += 1

    def start(self) -> None:
        """Start writing to the database, beginning with what an earlier run left."""
        self._thread = threading.Thread(target=self._run, name="event-logger", daemon=True)
        self._thread.start()

    def log(self, event: Event) -> None:
        """Save an event; on return it survives any crash. Raises SpoolError for a refusing disk, and InputError."""
        self._append(spool_records.event_record(event), urgent=event.priority.rank >= Priority.HIGH.rank)

    def update(self, event: str, **fields: object) -> None:
        """Change fields of an event, in the order of the calls; on return the change survives any crash.

        Raises as `log`, and TypeError for an unknown field.
        """
        self._append(spool_records.change_record(event, fields), urgent=False)

    def get(self, event: str) -> Event | None:
        """An event with all changes, including those that only the spool has. Raises DatabaseError."""
        with self._wake:
            position = self._position
        waiting = [entry for entry in self._spool.records(position, event.encode()) if entry[0].event == event]
        try:
            with self._database.read() as session:
                position = spool_position(session, self._spool.id) or position
                row = session.get(EventRow, event)
                stored = event_from_row(row) if row else None
        except DatabaseError:
            if not any(record.new for record, _ in waiting):
                raise
            stored = None
        for record, end in waiting:
            if end > position:
                stored = record.applied_to(stored)
        return stored

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call `callback` with every new or changed event once the database has it; returns the unsubscribe function.

        The writing thread calls it, in the order of the changes; it must return at once.
        """
        with self._wake:
            self._subscribers = [*self._subscribers, callback]

        def unsubscribe() -> None:
            with self._wake:
                self._subscribers = [subscriber for subscriber in self._subscribers if subscriber is not callback]

        return unsubscribe

    def write(self, work: Callable[[Session], list[Event]]) -> list[Event]:
        """Change events directly in the database; `work` returns the changed ones. Raises as `Database.write`."""

        def logged(session: Session) -> list[Event]:
            events = work(session)
            self._log_json(events)
            return events

        return self._database.write(logged, self._publish)

    def _publish(self, events: list[Event]) -> None:
        with self._wake:
            subscribers = self._subscribers
        for callback in subscribers:
            for event in events:
                try:
                    callback(event)
                except Exception:
                    logger.exception("a subscriber failed on event %s", event.id)

    def flush(self, timeout: float) -> bool:
        """Write now; returns whether the database has everything logged so far within `timeout` seconds."""
        end = self._spool.end
        with self._wake:
            self._write_now = self._retry_now = True
            self._wake.notify_all()
            return self._wake.wait_for(lambda: self._position_known and self._position >= end, timeout)

    def status(self) -> LoggerStatus:
        with self._wake:
            oldest = max(0.0, time.time() - self._oldest_at) if self._oldest_at and self._waiting > 0 else None
            hangs = self._waiting > 0 and time.monotonic() - self._last_progress > DATABASE_SILENT_SECONDS
            behind = self._behind_why or ("the database does not answer" if hangs else "")
            return LoggerStatus(
                state="failing" if self._failing_why else "behind" if behind else "ok",
                why=self._failing_why or behind or self._refused_why or self._json_why,
                waiting=max(0, self._waiting),
                oldest=oldest,
                logged=self._logged,
                written=self._written,
            )

    def stop(self) -> None:
        """Write what waits, for at most 5 s, and stop. The next start replays the rest."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        self._spool.close()

    def _append(self, record: Record, urgent: bool) -> None:
        line = spool_records.encode(record)
        try:
            self._spool.append(line)
        except SpoolError as error:
            with self._wake:
                self._failing_why = error.summary
            raise
        with self._wake:
            self._failing_why = ""
            self._logged += record.new
            if self._waiting <= 0:
                self._oldest_at = record.at
            self._waiting += 1
            self._write_now = self._write_now or urgent or self._waiting >= BATCH_RECORDS
            if self._write_now:
                self._wake.notify_all()

    def _run(self) -> None:
        retry = FIRST_RETRY
        while True:
            self._recheck_disk()
            try:
                more = self._write_batch()
                retry = FIRST_RETRY
            except Exception as error:  # any error: the next try may succeed, and events keep coming
                if not self._wait_for_retry(error, retry):
                    return
                retry = min(LAST_RETRY, retry * 2)
                continue
            with self._wake:
                if self._stopping and not more and self._position == self._spool.end:
                    return
                if not more:
                    self._wake.wait_for(lambda: self._write_now or self._stopping, MAX_WAIT_SECONDS)

    def _wait_for_retry(self, error: Exception, seconds: float) -> bool:
        """Record the failure and wait; False when the service is stopping."""
        expected = isinstance(error, XaivaError)
        why = error.summary if isinstance(error, XaivaError) else f"{type(error).__name__}: {error}"
        with self._wake:
            if why != self._behind_why:
                logger.error("events wait on disk: %s", why, exc_info=None if expected else error)
            self._behind_why = why
            self._position_known = False
            self._wake.wait_for(lambda: self._retry_now or self._stopping, seconds)
            return not self._stopping

    def _write_batch(self) -> bool:
        """Write one batch to the database; True when there is more."""
        with self._wake:
            self._write_now = self._retry_now = False
        if not self._position_known:
            self._find_position()
        position, end = self._position, self._spool.end
        batch = list(islice(self._spool.records(position), MAX_BATCH_RECORDS))
        if batch:
            self._write(batch)
        full = len(batch) == MAX_BATCH_RECORDS
        if batch:
            position = batch[-1][1]
        if not full:
            position = max(position, end)  # the last record may be followed by a truncated one
        self._finish_batch(position, batch)
        self._spool.release(position, self._database.make_durable)
        return full

    def _finish_batch(self, position: int, batch: list[tuple[Record, int]]) -> None:
        following = next(self._spool.records(position), None)
        with self._wake:
            if self._behind_why:
                logger.info("the database accepts events again")
            self._behind_why = ""
            self._last_progress = time.monotonic()
            self._position = position
            self._waiting -= len(batch)
            self._written += sum(record.new for record, _ in batch)
            self._oldest_at = following[0].at if following else self._oldest_at
            self._wake.notify_all()

    def _write(self, batch: list[tuple[Record, int]]) -> None:
        """Write a batch; records whose content the database refuses are set aside."""
        records, position = [record for record, _ in batch], batch[-1][1]
        try:
            self._apply(records, position)
        except (StatementError, ValueError) as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._write(batch[:half])
                self._write(batch[half:])
                return
            file = self._spool.set_aside(spool_records.encode(records[0]))
            why = str(error).partition("\n")[0]
            logger.error("the database refuses a record of event %s; it is kept in %s: %s", records[0].event, file, why)
            with self._wake:
                self._refused_why = f"the database refused records; they are kept in {file.name}"
            self._apply([], position)

    def _apply(self, records: list[Record], position: int) -> None:
        def work(session: Session) -> list[Event]:
            if spool_position(session, self._spool.id) != self._database_position:
                why = "it is not in the state in which this service left it (was a backup restored?)"
                what, remedy = f"Database {self._database.url_shown}", "the service writes the spool's records again"
                raise DatabaseError(what, why, remedy)
            events = apply_batch(session, self._spool.id, records, position)
            if position > self._json_position:  # else only the commit failed, and is retried
                self._log_json(events)
                self._json_position = position
            return events

        self._highest_position = max(self._highest_position, position)
        self._database.write(work, self._publish)
        self._database_position = position

    def _log_json(self, events: list[Event]) -> None:
        """Called before the database commits: after a kill in between, lines are repeated but never missing."""
        if self._json_log is None or not events:
            return
        why, name = "", None
        try:
            self._json_log.append(events)
        except OSError as error:
            why = f"lines are missing from the JSON log: {os_reason(error)}"
            name = error.filename
        with self._wake:
            previous_why, self._json_why = self._json_why, why
        if why and why != previous_why:
            logger.error("%s (%s)", why, name)

    def _find_position(self) -> None:
        """Ask the database for its position in the spool."""
        with self._database.read() as session:
            self._database_position = spool_position(session, self._spool.id)
        stored_position = self._database_position or 0
        if stored_position > self._highest_position:
            logger.warning("the database is ahead of the spool: every record in the spool is written again")
            stored_position = 0
        position = max(self._spool.first, stored_position)
        nearer, farther = sorted((position, self._position))
        between = sum(1 for _ in takewhile(lambda entry: entry[1] <= farther, self._spool.records(nearer)))
        with self._wake:
            self._waiting += between if position < self._position else -between
            self._position = position
            self._position_known = True

    def _recheck_disk(self) -> None:
        """After a refusal, probe whether the disk accepts writes again."""
        with self._wake:
            failing = self._failing_why
        if failing:
            with suppress(SpoolError):
                self._spool.probe()
                with self._wake:
                    self._failing_why = ""
