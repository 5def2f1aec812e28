"""Kept pictures of inspections: a folder per day (UTC), files named after the inspection."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.errors import XaivaError, os_reason
from core.files import TEMPORARY_PREFIX, read_regular, write_atomic, write_remedy
from core.inference.events.ids import is_event_id, time_of_id
from core.inference.events.media_store import check_room
from core.inference.events.retention import LEFTOVER_SECONDS
from core.inference.settings import ServiceSettings

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
            check_room(self.folder, len(picture))
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
                    if is_event_id(Path(entry.name).stem):
                        yield KeptFile(Path(entry.path), status.st_size)
                    elif entry.name.startswith(TEMPORARY_PREFIX) and status.st_mtime < time.time() - LEFTOVER_SECONDS:
                        os.unlink(entry.path)

    def _path(self, name: str) -> Path:
        return self.folder / f"{time_of_id(name.partition('.')[0]):%Y-%m-%d}" / name


_KEEP_MORE = "to keep pictures longer, raise XAIVA_INSPECTIONS_DAYS and XAIVA_INSPECTIONS_GB"


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
