"""A database of each kind, and loggers on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.inference.database.engine import Database
from core.inference.events.logger import EventLogger

Start = Callable[[], EventLogger]


@pytest.fixture
def start(database: Database, tmp_path: Path) -> Iterator[Start]:
    """Starts one logger after the other on the same spool."""
    running: list[EventLogger] = []

    def begin() -> EventLogger:
        for old in running:
            old.stop()
        logger = EventLogger(database, tmp_path / "spool")
        running.append(logger)
        logger.start()
        return logger

    yield begin
    for old in running:
        old.stop()
