"""The event logger while the database or the disk takes nothing, each in its own way."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from core.inference.database import engine
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.events import logger as logger_module
from core.inference.events.logger import EventLogger
from core.inference.events.spool import SpoolError
from tests.events.support import an_event, kept, logging_to, sqlite, urgent
from tests.support import PATIENCE, until
from tests.support.disks import fill, small_disk
from tests.support.postgres import Postgres


def test_a_server_that_is_down_holds_up_nobody(postgres: Postgres, tmp_path: Path) -> None:
    with closing(Database(postgres.new_database())) as database, logging_to(database, tmp_path / "spool") as logger:
        before = an_event()
        logger.log(before)
        assert logger.flush(PATIENCE)
        postgres.stop()
        try:
            during = [urgent() for _ in range(30)]
            for event in during:
                logger.log(event)
            logger.update(during[0].id, note="changed while down")
            until(lambda: logger.status().state == "behind")
            status = logger.status()
            assert status.waiting == 31
            assert status.oldest is not None
            assert "nothing listens there" in status.why
            assert postgres.password not in status.why
            stored = logger.get(during[0].id)
            assert stored is not None
            assert stored.note == "changed while down"
            with pytest.raises(DatabaseError):
                logger.get(before.id)
            assert not logger.flush(0.5)
        finally:
            postgres.start()
        assert logger.flush(PATIENCE)
        assert logger.status().state == "ok"
        assert kept(database).keys() == {before.id, *(event.id for event in during)}


def test_a_hanging_server_is_seen_early(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger_module, "DATABASE_SILENT_SECONDS", 0.2)
    with closing(Database(postgres.new_database())) as database, logging_to(database, tmp_path / "spool") as logger:
        assert logger.flush(PATIENCE)
        with postgres.frozen():
            logger.log(urgent())
            until(lambda: logger.status().state == "behind")
            assert logger.status().why == "the database does not answer"
        until(lambda: logger.status().state == "ok")
        assert len(kept(database)) == 1


def test_a_start_while_the_server_is_down_loses_nothing(postgres: Postgres, tmp_path: Path) -> None:
    database = Database(postgres.new_database())
    postgres.stop()
    try:
        with logging_to(database, tmp_path / "spool") as logger:
            event = an_event()
            logger.log(event)
            until(lambda: logger.status().state == "behind")
            began = time.monotonic()
        assert time.monotonic() - began < logger_module.STOP_SECONDS + 20
    finally:
        postgres.start()
    with closing(database), logging_to(database, tmp_path / "spool") as logger:
        assert logger.flush(PATIENCE)
        assert event.id in kept(database)


def test_a_locked_file_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.2)
    with sqlite(tmp_path) as database, logging_to(database, tmp_path / "spool") as logger:
        other = sqlite3.connect(tmp_path / "xaiva.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        logger.log(urgent())
        until(lambda: logger.status().state == "behind")
        assert "another process holds its lock" in logger.status().why
        other.execute("ROLLBACK")
        other.close()
        until(lambda: logger.status().state == "ok")
        assert len(kept(database)) == 1


def test_a_full_database_keeps_all_in_the_spool(tmp_path: Path) -> None:
    small = small_disk(tmp_path / "disk", "2m")
    with small as disk, sqlite(disk) as database, logging_to(database, tmp_path / "spool") as logger:
        hog = fill(disk)
        events = [urgent(note="x" * 2000) for _ in range(100)]
        for event in events:
            logger.log(event)
        until(lambda: logger.status().state == "behind")
        assert "full" in logger.status().why
        hog.unlink()
        assert logger.flush(PATIENCE)
        assert kept(database).keys() == {event.id for event in events}


def test_a_full_spool_is_told_to_the_caller_and_shown(tmp_path: Path) -> None:
    small = small_disk(tmp_path / "disk", "1m")
    with small as disk, sqlite(tmp_path) as database, logging_to(database, disk / "spool") as logger:
        first = urgent()
        logger.log(first)
        hog = fill(disk)
        with pytest.raises(SpoolError, match="No space left"):
            _log_without_end(logger)
        assert logger.status().state == "failing"
        assert "No space left" in logger.status().why
        hog.unlink()
        until(lambda: logger.status().state == "ok")  # seen without another event
        logger.log(an_event())
        assert logger.flush(PATIENCE)
        assert first.id in kept(database)


def _log_without_end(logger: EventLogger) -> None:
    for _ in range(100):
        logger.log(an_event(note="x" * 4000))
