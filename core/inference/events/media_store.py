"""Clips and snapshots on disk: one folder per day (UTC), files named after the event."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.api_schema import Event, StorageStatus
from core.errors import XaivaError, os_reason
from core.files import write_atomic, write_remedy
from core.inference.events.ids import is_event_id, time_of_id

LOW_SPACE_BYTES = 64 << 20  # below this, the next long clip may not fit
SPOOL_RESERVE_BYTES = 16 << 20  # left free for the spool: below this, no clip or snapshot is started
_COUNT_SECONDS = 15.0  # how long a status may use an old count
CLIP, SNAPSHOT = ".mp4", ".jpg"


@dataclass(frozen=True)
class MediaFile:
    """A clip or snapshot; `changed` is a Unix time."""

    event: str
    path: Path
    bytes: int
    changed: float


class MediaStore:
    """Clips and snapshots by event id. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._status = StorageStatus()
        self._counted_at = 0.0
        self._refused_why = ""

    def clip_path(self, event: Event | str) -> Path:
        """The path of an event's clip, which may not exist yet. Raises InputError for an invalid id."""
        return self._path(event, CLIP)

    def snapshot_path(self, event: Event | str) -> Path:
        return self._path(event, SNAPSHOT)

    def prepare_clip(self, event: Event | str) -> Path:
        """As `clip_path`, and creates its folder. Raises XaivaError when that fails."""
        path = self.clip_path(event)
        try:
            check_room(self.folder)
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._write_error(path, error) from error
        return path

    def put_snapshot(self, event: Event | str, jpeg: bytes) -> None:
        """Save a snapshot, replacing an older one. Raises XaivaError when the disk refuses it."""
        path = self.snapshot_path(event)
        try:
            check_room(self.folder)
            write_atomic(path, jpeg)
        except OSError as error:
            raise self._write_error(path, error) from error
        self._refused_why = ""

    def files(self) -> Iterator[MediaFile]:
        """Every clip and snapshot, oldest events first; skips files that vanish meanwhile. Raises OSError."""
        for day in sorted(entry.path for entry in _entries(self.folder) if entry.is_dir()):
            for name in sorted(entry.name for entry in _entries(day)):
                path = Path(day, name)
                try:
                    file_stat = path.stat()
                except FileNotFoundError:
                    continue
                if path.suffix in (CLIP, SNAPSHOT) and is_event_id(path.stem):
                    yield MediaFile(path.stem, path, file_stat.st_size, file_stat.st_mtime)

    def status(self) -> StorageStatus:
        """Number and size of the files, at most 15 s old."""
        with self._lock:
            if not self._counted_at or time.monotonic() - self._counted_at > _COUNT_SECONDS:
                self._status = self._count_files()
                self._counted_at = time.monotonic()
            return self._status

    def _count_files(self) -> StorageStatus:
        try:
            files = list(self.files())
            free = shutil.disk_usage(nearest_existing(self.folder)).free
        except OSError as error:
            return StorageStatus(state="full", why=f"{self.folder} cannot be read: {os_reason(error)}")
        clips = sum(file.path.suffix == CLIP for file in files)
        why = self._refused_why or (f"only {free >> 20} MB are free for clips" if free < LOW_SPACE_BYTES else "")
        used = sum(file.bytes for file in files)
        return StorageStatus(clips=clips, used=used, free=free, state="full" if why else "ok", why=why)

    def _path(self, event: Event | str, suffix: str) -> Path:
        event = event.id if isinstance(event, Event) else event
        return self.folder / f"{time_of_id(event):%Y-%m-%d}" / f"{event}{suffix}"

    def _write_error(self, path: Path, error: OSError) -> XaivaError:
        why = os_reason(error)
        self._refused_why = f"{path.name} was refused: {why}"
        self._counted_at = 0.0
        return XaivaError(
            f"{path}", why, write_remedy(error, "free space on that disk, or keep less with XAIVA_CLIPS_GB")
        )


def check_room(folder: Path, size: int = 0) -> None:
    """Raise OSError unless a file of `size` bytes in that folder leaves room for the spool."""
    if shutil.disk_usage(nearest_existing(folder)).free < SPOOL_RESERVE_BYTES + size:
        raise OSError(errno.ENOSPC, "No space left on device; the rest is reserved for events")


def nearest_existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """The entries of a folder; none if it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
