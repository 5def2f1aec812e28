"""The events as JSON lines, for whoever reads files and no databases."""

from __future__ import annotations

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

from core.inference.schemas import Event

LIMIT_BYTES = 64 << 20  # then the file becomes NAME.1
KEPT = 3  # older files


class JsonLog:
    """A line a change: the whole event as it is then. The newest line of an id counts."""

    def __init__(self, path: Path) -> None:
        self._file = _File(path, maxBytes=LIMIT_BYTES, backupCount=KEPT, encoding="utf-8", delay=True)

    def append(self, event: Event) -> None:
        """Write one. Raises OSError."""
        self._file.emit(logging.makeLogRecord({"msg": event.model_dump_json()}))


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002
        """Let the caller know, who has a log of its own to tell it to."""
        raise
