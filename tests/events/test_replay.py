"""What the logger makes of an earlier run, a backup put back, and a power cut."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import select, update

from core.inference.database import engine
from core.inference.database.engine import Database
from core.inference.database.models import EventRow, SpoolRow
from core.inference.events import logger as logger_module
from core.inference.events import spool as spool_module
from core.inference.events.logger import EventLogger
from core.inference.events.spool import Spool
from core.inference.events.spool_records import Record, encode
from tests.events.conftest import Start
from tests.events.support import an_event, kept, logging_to, urgent
from tests.support import PATIENCE, until


def test_an_earlier_run_is_replayed_and_nothing_older_undone(start: Start, database: Database, tmp_path: Path) -> None:
    """What people changed meanwhile stays: a record that the database has is not applied again."""
    logger = start()
    event = an_event()
    logger.log(event)
    logger.update(event.id, note="the flow's")
    assert logger.flush(PATIENCE)
    database.write(lambda session: setattr(session.get(EventRow, event.id), "note", "a person's"))
    logger.stop()
    later = EventLogger(database, tmp_path / "spool")  # a run that is over before its database knows
    left_event = an_event()
    later.log(left_event)
    later.stop()
    logger = start()
    assert logger.flush(PATIENCE)
    assert logger.status().waiting == 0
    assert kept(database)[event.id].note == "a person's"
    assert left_event.id in kept(database)


def test_a_database_put_back_from_a_backup_takes_what_the_spool_has(start: Start, database: Database) -> None:
    """Then it knows less of the spool, or even more than the spool itself does."""
    logger = start()
    event = an_event()
    logger.log(event)
    assert logger.flush(PATIENCE)
    logger.stop()

    def forget(session: engine.Session) -> None:
        session.delete(session.get(EventRow, event.id))
        session.connection().exec_driver_sql("UPDATE spools SET position = 1000000")

    database.write(forget)
    logger = start()
    until(lambda: event.id in kept(database))


def test_a_database_put_back_while_the_service_runs_takes_what_the_spool_has(start: Start, database: Database) -> None:
    """As when another server takes over that had not heard of the newest commits."""
    logger = start()
    events = [an_event() for _ in range(3)]
    logger.log(events[0])
    assert logger.flush(PATIENCE)
    with database.read() as session:
        position = session.scalar(select(SpoolRow.position))
    logger.log(events[1])
    assert logger.flush(PATIENCE)

    def put_back(session: engine.Session) -> None:
        session.delete(session.get(EventRow, events[1].id))
        session.execute(update(SpoolRow).values(position=position))

    database.write(put_back)
    logger.log(events[2])
    until(lambda: kept(database).keys() == {event.id for event in events})
    assert logger.flush(PATIENCE)
    assert (logger.status().state, logger.status().waiting) == ("ok", 0)


def test_a_spool_put_back_from_a_backup_loses_nothing_of_what_comes_then(database: Database, tmp_path: Path) -> None:
    """The database knows positions that mean other records now, and is asked only after there are some."""
    first = an_event()
    for event in (first, urgent(note="x" * 500)):
        with logging_to(database, tmp_path / "spool") as logger:
            logger.log(event)
            assert logger.flush(PATIENCE)
        if event is first:
            shutil.copytree(tmp_path / "spool", tmp_path / "backup")
    shutil.rmtree(tmp_path / "spool")
    (tmp_path / "backup").rename(tmp_path / "spool")
    logger = EventLogger(database, tmp_path / "spool")
    later = [an_event() for _ in range(5)]
    for event in later:
        logger.log(event)
    logger.start()
    assert logger.flush(PATIENCE)
    logger.stop()
    assert {event.id for event in later} <= kept(database).keys()


def test_what_a_newer_version_says_of_an_event_is_left_out(start: Start, database: Database, tmp_path: Path) -> None:
    event = an_event()
    spool = Spool(tmp_path / "spool")
    spool.append(encode(Record(event.id, True, 0, {**event.model_dump(mode="json"), "colour": "red"})))
    spool.append(encode(Record(event.id, False, 0, {"note": "seen", "colour": "blue"})))
    spool.append(encode(Record(event.id, False, 0, {"colour": "green"})))
    spool.close()
    logger = start()
    assert logger.flush(PATIENCE)
    assert kept(database)[event.id].note == "seen"
    logger.stop()
    assert not (tmp_path / "spool" / "refused.jsonl").exists()


def test_a_torn_end_holds_up_no_flush(start: Start, database: Database, tmp_path: Path) -> None:
    logger = start()
    event = an_event()
    logger.log(event)
    logger.stop()
    (segment,) = (tmp_path / "spool").glob("*.spool")
    with open(segment, "ab") as file:
        file.write(b"0123abcd {torn")
    logger = start()
    assert logger.flush(PATIENCE)
    later = an_event()
    logger.log(later)
    assert logger.flush(PATIENCE)
    assert kept(database).keys() == {event.id, later.id}
    assert logger.status().waiting == 0


def test_a_power_cut_that_takes_commits_back_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite may lose its newest commits then. What is sure is what it was when it was settled last, and the spool."""
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 4096)
    monkeypatch.setattr(logger_module, "MAX_WAIT_SECONDS", 0.01)
    database = Database(f"sqlite:///{tmp_path / 'now' / 'xaiva.db'}")
    sure = tmp_path / "sure"

    def settle() -> None:
        shutil.rmtree(sure, ignore_errors=True)
        shutil.copytree(tmp_path / "now", sure)

    settle()
    monkeypatch.setattr(database, "make_durable", settle)
    logger = EventLogger(database, tmp_path / "spool")
    logger.start()
    ids: list[str] = []

    def log(count: int) -> None:
        for _ in range(count):
            event = an_event()
            logger.log(event)
            logger.update(event.id, note=str(len(ids)))
            ids.append(event.id)
        assert logger.flush(PATIENCE)

    log(100)
    until(lambda: len(list((tmp_path / "spool").glob("*.spool"))) == 1)  # the others went, and were settled before
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 1 << 20)
    log(20)
    shutil.copytree(tmp_path / "spool", tmp_path / "spool after")
    lost = Database(f"sqlite:///{sure / 'xaiva.db'}")
    assert 0 < len(kept(lost)) < 120  # the cut did take something
    after = EventLogger(lost, tmp_path / "spool after")
    after.start()
    assert after.flush(PATIENCE)
    assert {row.id: row.note for row in kept(lost).values()} == {event: str(n) for n, event in enumerate(ids)}
    for running, opened in ((logger, database), (after, lost)):
        running.stop()
        opened.close()
