"""The events as JSON lines, for programs that read files instead of databases."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from core.api_schema import Event
from core.files import fsync_folder

LIMIT_BYTES = 64 << 20  # larger, the file becomes NAME.1
OLD_FILES = 3  # older files to keep


class JsonLog:
    """One line per change with the complete event; the newest line of an id counts. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, events: Iterable[Event]) -> None:
        """Write and fsync the events. Raises OSError."""
        lines = b"".join(event.model_dump_json().encode() + b"\n" for event in events)
        with suppress(FileNotFoundError):
            if self._path.stat().st_size + len(lines) > LIMIT_BYTES:
                self._rotate()
        with open(self._path, "a+b") as file:
            new = not file.tell()
            if not new and not _ends_with_newline(file.fileno()):
                file.write(b"\n")  # a kill or a full disk truncated the last line
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        if new:
            fsync_folder(self._path.parent)

    def _rotate(self) -> None:
        old = (self._path.with_name(f"{self._path.name}.{number}") for number in range(1, OLD_FILES + 1))
        for newer, older in reversed(list(pairwise([self._path, *old]))):
            with suppress(FileNotFoundError):
                newer.replace(older)


def _ends_with_newline(handle: int) -> bool:
    return os.pread(handle, 1, os.fstat(handle).st_size - 1) == b"\n"
