"""Kept pictures of inspections: a folder per day (UTC), files named after the inspection, bounded by age and size."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from core.errors import XaivaError, os_reason
from core.files import TEMPORARY_PREFIX, read_regular, write_atomic, write_remedy
from core.inference.database.errors import DatabaseError
from core.inference.events.ids import is_event_id, time_of_id
from core.inference.events.media_store import SPOOL_RESERVE_BYTES, nearest_existing
from core.inference.events.retention import GB, LEFTOVER_SECONDS
from core.inference.inspection.inspections import InspectionStore
from core.inference.settings import ServiceSettings

logger = logging.getLogger(__name__)

ROUND_SECONDS = 60.0
STOP_SECONDS = 1.0
_SUFFIXES = ((b"\xff\xd8", ".jpg"), (b"\x89PNG", ".png"), (b"BM", ".bmp"), (b"RIFF", ".webp"))


class PictureGone(XaivaError):
    """The picture of an inspection is not kept, or no longer."""


@dataclass(frozen=True)
class KeptFile:
    """A kept picture."""

    path: Path
    bytes: int

    @property
    def moment(self) -> datetime:
        """When it was inspected."""
        return time_of_id(self.path.stem)


class PictureStore:
    """Pictures by file name, as they came. Thread-safe."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.folder = settings.inspection_folder / "kept"

    def keep(self, inspection: str, picture: bytes) -> str:
        """Keep a picture; returns the name of its file. Raises XaivaError when the disk does not take it."""
        name = inspection + next((suffix for start, suffix in _SUFFIXES if picture.startswith(start)), ".tif")
        path = self._path(name)
        try:
            if shutil.disk_usage(nearest_existing(self.folder)).free < SPOOL_RESERVE_BYTES + len(picture):
                raise OSError(errno.ENOSPC, "No space left on device; the rest is reserved for events")
            write_atomic(path, picture)
        except OSError as error:
            remedy = write_remedy(error, "free space on that disk, or keep less with XAIVA_INSPECTIONS_GB")
            raise XaivaError(f"{path}", os_reason(error), remedy) from error
        return name

    def path(self, name: str) -> Path:
        """The file of a kept picture. Raises PictureGone."""
        path = self._path(name) if name else None
        if path is None or not path.is_file():
            raise PictureGone("The picture of this inspection", "it is not kept, or no longer", _KEEP_MORE)
        return path

    def read(self, name: str) -> bytes:
        """A kept picture. Raises PictureGone."""
        path = self.path(name)
        try:
            return read_regular(path)
        except OSError as error:
            raise PictureGone(f"{path}", f"it cannot be read: {os_reason(error)}") from error

    def drop(self, name: str) -> None:
        """Delete a picture whose inspection was not stored."""
        with suppress(OSError):
            self._path(name).unlink(missing_ok=True)

    def files(self) -> Iterator[KeptFile]:
        """Every kept picture, oldest first; files that vanish meanwhile are skipped. Raises OSError."""
        for day in sorted(_entries(self.folder), key=lambda entry: entry.name):
            if not day.is_dir(follow_symlinks=False):
                continue
            for entry in sorted(_entries(day.path), key=lambda entry: entry.name):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if is_event_id(entry.name.partition(".")[0]):
                        yield KeptFile(Path(entry.path), status.st_size)
                    elif entry.name.startswith(TEMPORARY_PREFIX) and status.st_mtime < time.time() - LEFTOVER_SECONDS:
                        os.unlink(entry.path)

    def _path(self, name: str) -> Path:
        return self.folder / f"{time_of_id(name.partition('.')[0]):%Y-%m-%d}" / name


class InspectionRetention:
    """Removes pictures that are too old, then the oldest while there are too many, those of corrections last.

    Inspections themselves are removed by age alone.
    """

    def __init__(
        self,
        pictures: PictureStore,
        inspections: InspectionStore,
        settings: ServiceSettings,
        chores: Sequence[Callable[[], object]] = (),
    ) -> None:
        """`chores` are done as often, each in a thread of its own: one that hangs or fails stops no other."""
        self._pictures = pictures
        self._inspections = inspections
        self._settings = settings
        self._chores = chores
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for number, step in enumerate((self.run_once, *self._chores)):
            thread = threading.Thread(
                target=self._run, args=(step,), name=f"inspection-retention-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def run_once(self) -> int:
        """One run; returns the number of removed pictures. Raises DatabaseError, and XaivaError for the disk."""
        oldest = datetime.now(timezone.utc) - timedelta(days=self._settings.inspections_days)
        try:
            files = list(self._pictures.files())
            corrected = self._inspections.corrected_with_picture() if files else set()
            gone = list(self._surplus(files, corrected, oldest))
            self._inspections.pictures_removed([file.path.name for file in gone])  # first: a crash leaves only files
            for file in gone:
                file.path.unlink(missing_ok=True)
                with suppress(OSError):
                    file.path.parent.rmdir()  # only when it is empty
        except OSError as error:
            raise XaivaError(f"{self._pictures.folder}", os_reason(error), "make this folder writable") from error
        removed = self._inspections.remove_before(oldest)
        if gone or removed:
            logger.info("%d pictures and %d inspections were removed", len(gone), removed)
        return len(gone)

    def _surplus(self, files: list[KeptFile], corrected: set[str], oldest: datetime) -> Iterable[KeptFile]:
        excess = sum(file.bytes for file in files) - self._settings.inspections_gb * GB
        for file in sorted(files, key=lambda file: file.path.name in corrected):  # stable: each part oldest first
            if file.moment < oldest or excess > 0:
                excess -= file.bytes
                yield file

    def _run(self, step: Callable[[], object]) -> None:
        while not self._stop.wait(ROUND_SECONDS):
            try:
                step()
            except DatabaseError as error:
                logger.debug("the retention of inspections waits for the database: %s", error.why)
            except XaivaError as error:
                logger.error("the retention of inspections failed: %s", error)
            except Exception:
                logger.exception("the retention of inspections failed")


_KEEP_MORE = "to keep pictures longer, raise XAIVA_INSPECTIONS_DAYS and XAIVA_INSPECTIONS_GB"


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
