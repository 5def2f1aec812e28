"""Reads the log of a job as the API shows it."""

from __future__ import annotations

import threading
from pathlib import Path

from core.operations.log import LogReader
from core.operations.model import TRACEBACK, OperationLogLine


class JobLogReader:
    """Lines of a job's log from a logical offset on. It keeps the file open until it is closed. Thread-safe."""

    def __init__(self, path: Path, offset: int) -> None:
        self._reader = LogReader(path, offset)
        self._lock = threading.Lock()
        self._closed = False

    def read(self, limit: int) -> tuple[list[str], int]:
        """The next lines, at most `limit`, and the offset of what follows; tracebacks are left out."""
        with self._lock:
            while not self._closed and (rows := self._reader.read(limit)):
                if lines := [_text(row) for row in rows if row.stage != TRACEBACK]:
                    return lines, self._reader.offset
            return [], self._reader.offset

    def close(self) -> None:
        """Close the file for good. A read may still wait for its thread when the stream that asked for it ends."""
        with self._lock:
            self._closed = True
            self._reader.close()


def _text(line: OperationLogLine) -> str:
    text = f"{line.stage}: {line.text}" if line.stage else line.text
    return f"{line.clock} {text}" if line.clock else text
