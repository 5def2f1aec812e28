"""Retention: removes clips, snapshots and events by age, total size and free disk space."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core.errors import XaivaError, os_reason
from core.files import TEMPORARY_PREFIX
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.database.models import EventRow
from core.inference.events.ids import time_of_id
from core.inference.events.media_store import MediaFile, MediaStore, nearest_existing
from core.inference.events.statistics import DailyStatistics
from core.inference.settings import ServiceSettings

logger = logging.getLogger(__name__)

ROUND_SECONDS = 60.0
STOP_SECONDS = 3.0
GB = 10**9
FRESH_SECONDS = 60.0  # a file changed so recently may still be open
EVENTS_AT_ONCE = 200  # files of so many events are removed together
LEFTOVER_SECONDS = 3600.0  # no file takes that long to write


@dataclass(frozen=True)
class Removed:
    """What one run removed; `protected` counts protected events."""

    files: int = 0
    bytes: int = 0
    protected: int = 0
    events: int = 0


class Retention:
    """Removes what is too old, then the oldest while there is too much; protected events only for space, and last."""

    def __init__(self, folder: Path, database: Database, settings: ServiceSettings) -> None:
        self._media = MediaStore(folder)
        self._database = database
        self._settings = settings
        self._statistics = DailyStatistics(database, settings.zone)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def run_once(self) -> Removed:
        """One run. Raises DatabaseError (only the database knows what is protected), and XaivaError for the disk."""
        try:
            removed = self._remove_files()  # first: a full disk blocks the database
            return replace(removed, events=self._remove_events())
        except OSError as error:
            what = f"{error.filename or self._media.folder}"
            raise XaivaError(what, os_reason(error), "make the clips folder writable") from error

    def _run(self) -> None:
        while True:
            try:
                self.run_once()
            except XaivaError as error:
                logger.error("retention failed: %s", error)
            except Exception:
                logger.exception("retention failed")
            if self._stop.wait(ROUND_SECONDS):
                return

    def _remove_events(self) -> int:
        """Remove unprotected events of old days, and keep the statistics of those days."""
        first_kept = (_now() - timedelta(days=self._settings.events_days)).astimezone(self._statistics.zone).date()
        removed = 0
        while (day := self._oldest_day()) is not None and day < first_kept and not self._stop.is_set():
            removed += self._database.write(partial(self._remove_day, day))  # by day: others write in between
        if removed:
            logger.info("%d events from before %s were removed; their statistics stay", removed, first_kept)
        return removed

    def _oldest_day(self) -> date | None:
        oldest = select(EventRow.started).where(EventRow.protected.is_(False)).order_by(EventRow.started, EventRow.id)
        with self._database.read() as session:
            started = session.scalar(oldest.limit(1))
        return started and started.astimezone(self._statistics.zone).date()

    def _remove_day(self, day: date, session: Session) -> int:
        self._statistics.keep_day(session, day)
        before_next_day = EventRow.started < self._statistics.start(day + timedelta(days=1))
        removal = delete(EventRow).where(before_next_day, EventRow.protected.is_(False)).returning(EventRow.id)
        return len(session.execute(removal).all())

    def _remove_files(self) -> Removed:
        now = _now()
        _remove_leftovers(self._media.folder)
        stored = _by_event(self._media.files())
        protected = self._protected(stored)
        removable = [media for media in stored if media.event not in protected]
        days = min(self._settings.clips_days, self._settings.events_days)
        oldest = now - timedelta(days=days)
        too_old = [media for media in removable if media.moment < oldest]
        self._remove(too_old, f"removed after {days:g} days")
        remaining = removable[len(too_old) :]  # `too_old` is the front of it
        excess = self._excess(sum(media.bytes for media in stored) - sum(media.bytes for media in too_old))
        in_excess = list(_take_oldest(remaining + [media for media in stored if media.event in protected], excess))
        self._remove(in_excess, "removed to make room")
        removed = too_old + in_excess
        forced = [media for media in in_excess if media.event in protected]
        if forced:
            logger.warning("only protected events were left: removed the clips of %d of them", len(forced))
        return Removed(sum(len(media.files) for media in removed), sum(media.bytes for media in removed), len(forced))

    def _excess(self, used: int) -> float:
        free = shutil.disk_usage(nearest_existing(self._media.folder)).free
        return max(used - self._settings.clips_gb * GB, self._settings.clips_free_gb * GB - free)

    def _protected(self, stored: list[_EventMedia]) -> set[str]:
        if not stored:
            return set()
        with self._database.read() as session:
            return set(session.scalars(select(EventRow.id).where(EventRow.protected.is_(True))))

    def _remove(self, media: list[_EventMedia], why: str) -> None:
        """Mark them in the database, then delete the files: after a crash the next run deletes the rest.

        On a full disk SQLite may only be able to write after the files are gone.
        """
        for at in range(0, len(media), EVENTS_AT_ONCE):
            step = media[at : at + EVENTS_AT_ONCE]
            mark = partial(_mark_removed, [event_media.event for event_media in step], why)
            try:
                self._database.write(mark)
            except DatabaseError:
                if not self._database.is_full:
                    raise
                _unlink(step)
                self._database.write(mark)
            _unlink(step)
        if media:
            logger.info("clips and snapshots of %d events: %s", len(media), why)


def _unlink(media: list[_EventMedia]) -> None:
    for file in (file for event_media in media for file in event_media.files):
        file.path.unlink(missing_ok=True)
    for folder in {file.path.parent for event_media in media for file in event_media.files}:
        with suppress(OSError):
            folder.rmdir()  # only when it is empty


def _mark_removed(events: list[str], why: str, session: Session) -> None:
    values = {"snapshot": False, "clip_state": "none", "clip_bytes": 0, "clip_seconds": 0, "clip_why": why}
    session.execute(update(EventRow).where(EventRow.id.in_(events)).values(**values))


@dataclass
class _EventMedia:
    """The files of one event."""

    event: str
    moment: datetime
    files: list[MediaFile]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def is_fresh(self) -> bool:
        return max(file.changed for file in self.files) > time.time() - FRESH_SECONDS


def _by_event(files: Iterable[MediaFile]) -> list[_EventMedia]:
    """The files grouped by event, oldest first."""
    by_event: dict[str, _EventMedia] = {}
    for file in files:
        by_event.setdefault(file.event, _EventMedia(file.event, time_of_id(file.event), [])).files.append(file)
    return sorted(by_event.values(), key=lambda event_media: event_media.event)


def _take_oldest(media: list[_EventMedia], excess: float) -> Iterator[_EventMedia]:
    """The oldest whose sizes add up to `excess`, without files that may still be open."""
    for event_media in media:
        if excess <= 0:
            return
        if not event_media.is_fresh:
            excess -= event_media.bytes
            yield event_media


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(f"*/{TEMPORARY_PREFIX}*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - LEFTOVER_SECONDS:
                path.unlink()


def _now() -> datetime:
    return datetime.now(timezone.utc)
