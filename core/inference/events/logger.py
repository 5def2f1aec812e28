"""The event logger: on disk when an event is decided, in the database soon after, whatever happens in between."""

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

from core.errors import XaivaError
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.database.models import EventRow
from core.inference.events import records
from core.inference.events.applying import apply, position_of
from core.inference.events.json_log import JsonLog
from core.inference.events.records import Record
from core.inference.events.rows import event_of
from core.inference.events.spool import Spool, SpoolError
from core.inference.schemas import Event, LoggerStatus, Priority

log = logging.getLogger(__name__)

BATCH = 10  # records that are written without waiting for more
PERIOD = 1.0  # seconds that a record waits at most
LARGEST_BATCH = 500  # records in one transaction when there is much to catch up with
FIRST_RETRY, LAST_RETRY = 0.5, 30.0  # seconds until the database is tried again: doubled each time
LATE = 10.0  # seconds without an answer after which the database counts as hanging
STOP_SECONDS = 5.0  # what a stop gives the database; what it does not take stays in the spool


class EventLogger:
    """Keeps events. Any thread may call any method; `log` and `update` may do so before `start`.

    `folder` is the spool's. With `json_log`, every event that is new or changed also goes there, a line each.
    Raises SpoolError when the folder cannot be used.
    """

    def __init__(self, database: Database, folder: Path, *, json_log: Path | None = None) -> None:
        self._database = database
        self._spool = Spool(folder)
        self._reached = self._spool.end  # how far the database can have come: the end as it was found, then as written
        self._remembered: int | None = None  # how far the database says it has come
        self._json_log = JsonLog(json_log) if json_log else None
        self._json_position = 0  # how far the JSON log has come in this run
        self._wake = (
            threading.Condition()
        )  # guards everything below, but that the writing thread may read what it alone writes
        self._subscribers: list[Callable[[Event], None]] = []
        self._thread: threading.Thread | None = None
        self._position = self._spool.first  # how far the database has come
        self._sure = False  # of the above: the database has been asked, and took what came since
        self._hurry = self._retry_now = self._stopping = False
        self._behind = self._failing = self._refused = self._json_why = ""
        self._logged = self._written = 0
        self._waiting = 0
        self._oldest: float | None = None
        self._progress = time.monotonic()  # when the database last took what there was
        for record, _ in self._spool.records(self._position):
            self._oldest = self._oldest or record.at
            self._waiting += 1

    def start(self) -> None:
        """Start writing to the database, first what an earlier run left."""
        self._thread = threading.Thread(target=self._run, name="event-logger", daemon=True)
        self._thread.start()

    def log(self, event: Event) -> None:
        """Keep an event: on return it survives any crash. Raises SpoolError when the disk refuses, and InputError."""
        self._append(records.of_event(event), urgent=event.priority.rank >= Priority.HIGH.rank)

    def update(self, event: str, **fields: object) -> None:
        """Change fields of an event, in the order of the calls; on return it survives any crash.

        Raises as `log`, and TypeError for a field that no event has.
        """
        self._append(records.of_change(event, fields), urgent=False)

    def get(self, event: str) -> Event | None:
        """An event as it is now, also what the database does not have yet. Raises DatabaseError."""
        with self._wake:
            known = self._position
        waiting = [one for one in self._spool.records(known, event.encode()) if one[0].event == event]
        try:
            with self._database.read() as session:
                known = position_of(session, self._spool.id) or known
                row = session.get(EventRow, event)
                found = event_of(row) if row else None
        except DatabaseError:
            if not any(record.new for record, _ in waiting):
                raise
            found = None
        for record, end in waiting:
            if end > known:
                found = record.onto(found)
        return found

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have `callback` called with every new or changed event once the database has it; returns what ends that.

        It is called by the thread that writes, in the order of the changes, and must return at once.
        """
        with self._wake:
            self._subscribers = [*self._subscribers, callback]

        def end() -> None:
            with self._wake:
                self._subscribers = [one for one in self._subscribers if one is not callback]

        return end

    def write(self, work: Callable[[Session], list[Event]]) -> list[Event]:
        """Change events in the database itself; `work` returns them as they are then. Raises as `Database.write`."""

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
                    log.exception("a subscriber failed on event %s", event.id)

    def flush(self, timeout: float) -> bool:
        """Write now what waits; True when the database has all that was logged before, within `timeout` seconds."""
        end = self._spool.end
        with self._wake:
            self._hurry = self._retry_now = True
            self._wake.notify_all()
            return self._wake.wait_for(lambda: self._sure and self._position >= end, timeout)

    def status(self) -> LoggerStatus:
        """How it is now."""
        with self._wake:
            oldest = max(0.0, time.time() - self._oldest) if self._oldest and self._waiting > 0 else None
            hangs = self._waiting > 0 and time.monotonic() - self._progress > LATE
            behind = self._behind or ("the database does not answer" if hangs else "")
            return LoggerStatus(
                state="failing" if self._failing else "behind" if behind else "ok",
                why=self._failing or behind or self._refused or self._json_why,
                waiting=max(0, self._waiting),
                oldest=oldest,
                logged=self._logged,
                written=self._written,
            )

    def stop(self) -> None:
        """Write what waits, for 5 s at most, and end. What the database did not take is replayed at the next start."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        self._spool.close()

    def _append(self, record: Record, urgent: bool) -> None:
        line = records.encoded(record)
        try:
            self._spool.append(line)
        except SpoolError as error:
            with self._wake:
                self._failing = f"{error.what}: {error.why}"
            raise
        with self._wake:
            self._failing = ""
            self._logged += record.new
            if self._waiting <= 0:
                self._oldest = record.at
            self._waiting += 1
            self._hurry = self._hurry or urgent or self._waiting >= BATCH
            if self._hurry:
                self._wake.notify_all()

    def _run(self) -> None:
        retry = FIRST_RETRY
        while True:
            self._check_disk()
            try:
                more = self._write_batch()
                retry = FIRST_RETRY
            except Exception as error:  # whatever it is, the next try may succeed, and events come on
                if not self._wait_out(error, retry):
                    return
                retry = min(LAST_RETRY, retry * 2)
                continue
            with self._wake:
                if self._stopping and not more and self._position == self._spool.end:
                    return
                if not more:
                    self._wake.wait_for(lambda: self._hurry or self._stopping, PERIOD)

    def _wait_out(self, error: Exception, seconds: float) -> bool:
        """Show that the database cannot be written, and wait; False when there is no time for another try."""
        known = isinstance(error, XaivaError)
        why = f"{error.what}: {error.why}" if isinstance(error, XaivaError) else f"{type(error).__name__}: {error}"
        with self._wake:
            if why != self._behind:
                log.error("events wait on disk: %s", why, exc_info=None if known else error)
            self._behind = why
            self._sure = False
            self._wake.wait_for(lambda: self._retry_now or self._stopping, seconds)
            return not self._stopping

    def _write_batch(self) -> bool:
        """Bring one batch into the database; True when there was more than fits into one."""
        with self._wake:
            self._hurry = self._retry_now = False
        if not self._sure:
            self._find_position()
        position, end = self._position, self._spool.end
        batch = list(islice(self._spool.records(position), LARGEST_BATCH))
        if batch:
            self._write(batch)
        full = len(batch) == LARGEST_BATCH
        if batch:
            position = batch[-1][1]
        if not full:
            position = max(position, end)  # behind the last record there can be a torn one
        self._done(position, batch)
        self._spool.release(position, self._database.settle)
        return full

    def _done(self, position: int, batch: list[tuple[Record, int]]) -> None:
        following = next(self._spool.records(position), None)
        with self._wake:
            if self._behind:
                log.info("the database takes events again")
            self._behind = ""
            self._progress = time.monotonic()
            self._position = position
            self._waiting -= len(batch)
            self._written += sum(record.new for record, _ in batch)
            self._oldest = following[0].at if following else self._oldest
            self._wake.notify_all()

    def _write(self, batch: list[tuple[Record, int]]) -> None:
        """Write a batch; a record that the database refuses for what it holds is set aside, and the others go on."""
        found, position = [record for record, _ in batch], batch[-1][1]
        try:
            self._apply(found, position)
        except (StatementError, ValueError) as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._write(batch[:half])
                self._write(batch[half:])
                return
            file = self._spool.set_aside(records.encoded(found[0]))
            why = str(error).partition("\n")[0]
            log.error("the database refuses a record of event %s; it is kept in %s: %s", found[0].event, file, why)
            with self._wake:
                self._refused = f"the database refused records; they are kept in {file.name}"
            self._apply([], position)

    def _apply(self, found: list[Record], position: int) -> None:
        def work(session: Session) -> list[Event]:
            if position_of(session, self._spool.id) != self._remembered:
                why = "it is not as this service left it: put back from a backup?"
                raise DatabaseError(f"Database {self._database.url_shown}", why, "what the spool has is written again")
            events = apply(session, self._spool.id, found, position)
            if position > self._json_position:  # else: only the commit failed, and is tried again
                self._log_json(events)
                self._json_position = position
            return events

        self._reached = max(self._reached, position)
        self._database.write(work, self._publish)
        self._remembered = position

    def _log_json(self, events: list[Event]) -> None:
        """Before the database commits: killed in between, the lines come again, and are never missing."""
        if self._json_log is None or not events:
            return
        why, name = "", None
        try:
            self._json_log.append(events)
        except OSError as error:
            why = f"lines are missing in the JSON log: {error.strerror or error}"
            name = error.filename
        with self._wake:
            before, self._json_why = self._json_why, why
        if why and why != before:
            log.error("%s (%s)", why, name)

    def _find_position(self) -> None:
        """Ask how far the database has come. What lies before it in the spool does not wait."""
        with self._database.read() as session:
            self._remembered = position_of(session, self._spool.id)
        known = self._remembered or 0
        if known > self._reached:
            log.warning("the database knows more of the spool than the spool: all that is in it is written again")
            known = 0
        position = max(self._spool.first, known)
        nearer, farther = sorted((position, self._position))
        between = sum(1 for _ in takewhile(lambda one: one[1] <= farther, self._spool.records(nearer)))
        with self._wake:
            self._waiting += between if position < self._position else -between
            self._position = position
            self._sure = True

    def _check_disk(self) -> None:
        """A disk that refused counts as well again once it takes something."""
        with self._wake:
            failing = self._failing
        if failing:
            with suppress(SpoolError):
                self._spool.probe()
                with self._wake:
                    self._failing = ""
