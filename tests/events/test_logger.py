"""The event logger on both databases: at once or in batches, and while a database is down, locked or full."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from core.api_schema import ActionResult, Analysis, AnalysisState, Clip, Event, Fact, Priority
from core.inference.database import engine
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.database.models import EventRow, SpoolRow
from core.inference.events import json_log
from core.inference.events import logger as logger_module
from core.inference.events import spool as spool_module
from core.inference.events.ids import new_id
from core.inference.events.json_log import JsonLog
from core.inference.events.logger import EventLogger
from core.inference.events.spool import Spool, SpoolError
from core.inference.events.spool_records import Record, encode
from core.inference.events.store import EventStore
from tests.events.support import an_event, urgent
from tests.support import PATIENCE, until
from tests.support.disks import fill, small_disk
from tests.support.postgres import Postgres

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


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written for its age alone."""
    monkeypatch.setattr(logger_module, "MAX_WAIT_SECONDS", 3600.0)


def kept(database: Database) -> dict[str, EventRow]:
    with database.read() as session:
        return {row.id: row for row in session.scalars(select(EventRow))}


def full_event() -> Event:
    now = an_event().started
    return an_event(
        camera_name="Gate ‘7’ 門",
        priority=Priority.CRITICAL,
        ended=now,
        zone="left",
        detector="memory",
        snapshot=True,
        clip=Clip(state="done", seconds=7.5, bytes=3_000_000_000),
        analysis=Analysis(state=AnalysisState.DONE, description="a bag\nleft", confidence=0.5, backend="x", seconds=1),
        facts=[Fact(label="person", score=0.9, box=(0, 0.25, 0.5, 1))],
        actions=[ActionResult(step="notify", state="done", seconds=0.5, at=now)],
        response_time=1.25,
        protected=True,
        acknowledged=now,
        acknowledged_by="ada",
        note="seen",
    )


def test_an_event_comes_back_as_it_was(start: Start, database: Database) -> None:
    logger = start()
    events = [full_event(), an_event()]
    for event in events:
        logger.log(event)
        assert logger.get(event.id) == event
    assert logger.flush(PATIENCE)
    assert [logger.get(event.id) for event in events] == events
    assert logger.get(new_id()) is None
    assert logger.status().model_dump() == {
        "state": "ok", "why": "", "waiting": 0, "oldest": None, "logged": 2, "written": 2,
    }  # fmt: skip


@pytest.mark.usefixtures("patient")
def test_an_urgent_event_is_written_at_once_and_takes_the_others_along(start: Start, database: Database) -> None:
    logger = start()
    until(lambda: logger.flush(0.1))
    quiet, loud = an_event(), urgent()
    logger.log(quiet)
    assert quiet.id not in kept(database)
    assert logger.status().waiting == 1
    logger.log(loud)
    until(lambda: kept(database).keys() == {quiet.id, loud.id})


@pytest.mark.usefixtures("patient")
def test_ten_are_written_without_waiting_for_more(start: Start, database: Database) -> None:
    logger = start()
    until(lambda: logger.flush(0.1))
    for _ in range(logger_module.BATCH_RECORDS):
        logger.log(an_event())
    until(lambda: len(kept(database)) == logger_module.BATCH_RECORDS)


def test_one_alone_is_written_within_the_period(start: Start, database: Database) -> None:
    start().log(an_event())
    until(lambda: len(kept(database)) == 1)


@pytest.mark.usefixtures("patient")
def test_a_stop_writes_what_waits(start: Start, database: Database) -> None:
    logger = start()
    until(lambda: logger.flush(0.1))
    event = an_event()
    logger.log(event)
    logger.update(event.id, note="late")
    logger.stop()
    assert kept(database)[event.id].note == "late"
    with pytest.raises(SpoolError, match="closed"):  # told, never dropped in silence
        logger.log(an_event())


def test_changes_come_in_their_order_whether_the_event_is_there_or_not(start: Start, database: Database) -> None:
    logger = start()
    first, second = an_event(), an_event()
    logger.log(first)
    logger.update(first.id, clip=Clip(state="recording"), note="a")
    logger.flush(PATIENCE)
    logger.update(first.id, clip=Clip(state="done", seconds=3, bytes=7))
    logger.log(second)
    logger.update(second.id, note="b", priority=Priority.LOW)
    logger.update(second.id, note="c")
    logger.update(new_id(), note="of nobody")
    events = {event.id: logger.get(event.id) for event in (first, second)}
    assert logger.flush(PATIENCE)
    assert events == {event.id: logger.get(event.id) for event in (first, second)}
    rows = kept(database)
    assert (rows[first.id].clip_state, rows[first.id].clip_bytes, rows[first.id].note) == ("done", 7, "a")
    assert (rows[second.id].note, rows[second.id].priority) == ("c", 0)
    assert len(rows) == 2


def test_an_event_logged_twice_is_there_once(start: Start, database: Database) -> None:
    logger = start()
    event = an_event()
    logger.log(event)
    logger.update(event.id, note="kept")
    logger.log(event)
    logger.flush(PATIENCE)
    logger.log(event)
    assert logger.flush(PATIENCE)
    assert kept(database)[event.id].note == "kept"


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
        logger = EventLogger(database, tmp_path / "spool")
        logger.start()
        logger.log(event)
        assert logger.flush(PATIENCE)
        logger.stop()
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


def test_subscribers_hear_of_it_once_the_database_has_it(start: Start, database: Database) -> None:
    logger = start()
    notified: list[tuple[str, str, bool]] = []
    end = logger.subscribe(lambda event: notified.append((event.id, event.note, event.id in kept(database))))
    logger.subscribe(_broken)
    event = an_event()
    logger.log(event)
    assert logger.flush(PATIENCE)
    logger.update(event.id, note="more")
    assert logger.flush(PATIENCE)
    until(lambda: len(notified) == 2)
    assert notified == [(event.id, "", True), (event.id, "more", True)]
    end()
    logger.log(an_event())
    assert logger.flush(PATIENCE)
    logger.stop()
    assert len(notified) == 2


def _broken(*_: object) -> None:
    raise RuntimeError("trouble of its own")


def test_the_json_log_has_every_event_as_it_became(database: Database, tmp_path: Path) -> None:
    logger = EventLogger(database, tmp_path / "spool", json_log=tmp_path / "events.jsonl")
    logger.start()
    event = full_event()
    logger.log(event)
    assert logger.flush(PATIENCE)
    logger.update(event.id, note="later")
    assert logger.flush(PATIENCE)
    assert EventStore(database, logger).protect(event.id, False)
    logger.stop()
    later = event.model_copy(update={"note": "later"})
    assert lines(tmp_path / "events.jsonl") == [event, later, later.model_copy(update={"protected": False})]


def lines(path: Path) -> list[Event]:
    return [Event.model_validate(json.loads(line)) for line in path.read_text().splitlines()]


def test_a_commit_that_fails_again_and_again_fills_no_json_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger_module, "LAST_RETRY", 0.02)
    with small_disk(tmp_path / "disk", "2m") as disk:
        database = Database(f"sqlite:///{disk / 'xaiva.db'}")
        logger = EventLogger(database, tmp_path / "spool", json_log=tmp_path / "events.jsonl")
        hog = fill(disk)
        events = [an_event(note="x" * 2000) for _ in range(300)]
        for event in events:
            logger.log(event)
        logger.start()
        until(lambda: logger.status().state == "behind")
        assert not logger.flush(0.5)
        hog.unlink()
        assert logger.flush(PATIENCE)
        logger.stop()
        assert lines(tmp_path / "events.jsonl") == events
        database.close()


def test_a_json_log_that_cannot_be_written_holds_up_nothing(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "no such folder yet" / "events.jsonl"
    logger = EventLogger(database, tmp_path / "spool", json_log=path)
    logger.start()
    events = an_event(), an_event()
    logger.log(events[0])
    assert logger.flush(PATIENCE)
    assert (logger.status().state, logger.status().why) == (
        "ok", "lines are missing from the JSON log: No such file or directory",
    )  # fmt: skip
    path.parent.mkdir()
    logger.log(events[1])
    assert logger.flush(PATIENCE)
    assert logger.status().why == ""
    logger.stop()
    assert kept(database).keys() == {event.id for event in events}
    assert lines(path) == [events[1]]


def test_a_json_log_is_a_file_of_whole_lines_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_log, "LIMIT_BYTES", 2000)
    path = tmp_path / "events.jsonl"
    events = [an_event() for _ in range(20)]
    JsonLog(path).append(events[:1])
    with path.open("ab") as file:
        file.write(b'{"id": "torn by a ki')
    for event in events[1:]:
        JsonLog(path).append([event])
    older = [path.with_name(f"events.jsonl.{number}") for number in (3, 2, 1)]
    assert sorted(tmp_path.iterdir()) == sorted([path, *older])
    lines = [line for file in (*older, path) for line in file.read_text().splitlines()]
    assert all(file.stat().st_size <= 2000 for file in (*older, path))
    ids = [json.loads(line)["id"] for line in lines if "torn" not in line]
    assert ids == [event.id for event in events][-len(ids) :]
    assert len(ids) > 6


def test_what_the_database_refuses_is_kept_aside_and_holds_up_nothing(
    start: Start, database: Database, tmp_path: Path
) -> None:
    good = [an_event() for _ in range(5)]
    spool = Spool(tmp_path / "spool")
    for event in good[:3]:
        spool.append(encode(Record(event.id, True, 0, event.model_dump(mode="json"))))
    spool.append(encode(Record("of another version", True, 0, {"id": "of another version"})))
    for event in good[3:]:
        spool.append(encode(Record(event.id, True, 0, event.model_dump(mode="json"))))
    spool.close()
    logger = start()
    assert logger.flush(PATIENCE)
    assert kept(database).keys() == {event.id for event in good}
    assert "of another version" in (tmp_path / "spool" / "refused.jsonl").read_text()
    assert "refused.jsonl" in logger.status().why


def test_text_that_no_database_holds_does_not_lose_the_event(start: Start, database: Database) -> None:
    logger = start()
    event = an_event(note="a\0b", analysis=Analysis(description="\0"))
    logger.log(event)
    assert logger.flush(PATIENCE)
    assert kept(database)[event.id].note == r"a\u0000b"


def test_the_writer_survives_what_nobody_thought_of(
    start: Start, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = start()
    until(lambda: logger.flush(0.1))
    with monkeypatch.context() as broken:
        broken.setattr(logger_module, "apply_batch", _broken)
        logger.log(urgent())
        until(lambda: logger.status().state == "behind")
        assert "RuntimeError" in logger.status().why
    assert logger.flush(PATIENCE)
    assert len(kept(database)) == 1
    assert logger.status().state == "ok"


def test_many_threads_and_many_changes(start: Start, database: Database) -> None:
    logger = start()
    ids: list[str] = []

    def work() -> None:
        for _ in range(25):
            event = an_event()
            logger.log(event)
            ids.append(event.id)
            for number in range(3):
                logger.update(event.id, note=str(number))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logger.flush(PATIENCE)
    rows = kept(database)
    assert sorted(rows) == sorted(ids)
    assert {row.note for row in rows.values()} == {"2"}


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


# A database that does not take anything, each in its own way.


def test_a_server_that_is_down_holds_up_nobody(postgres: Postgres, tmp_path: Path) -> None:
    database = Database(postgres.new_database())
    logger = EventLogger(database, tmp_path / "spool")
    logger.start()
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
    logger.stop()
    database.close()


def test_a_server_that_hangs_shows_before_it_fails(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger_module, "DATABASE_SILENT_SECONDS", 0.2)
    database = Database(postgres.new_database())
    logger = EventLogger(database, tmp_path / "spool")
    logger.start()
    assert logger.flush(PATIENCE)
    with postgres.frozen():
        logger.log(urgent())
        until(lambda: logger.status().state == "behind")
        assert logger.status().why == "the database does not answer"
    until(lambda: logger.status().state == "ok")
    assert len(kept(database)) == 1
    logger.stop()
    database.close()


def test_a_start_while_the_server_is_down_loses_nothing(postgres: Postgres, tmp_path: Path) -> None:
    database = Database(postgres.new_database())
    postgres.stop()
    try:
        logger = EventLogger(database, tmp_path / "spool")
        logger.start()
        event = an_event()
        logger.log(event)
        until(lambda: logger.status().state == "behind")
        began = time.monotonic()
        logger.stop()
        assert time.monotonic() - began < logger_module.STOP_SECONDS + 20
    finally:
        postgres.start()
    logger = EventLogger(database, tmp_path / "spool")
    assert logger.status().waiting == 1
    logger.start()
    assert logger.flush(PATIENCE)
    assert event.id in kept(database)
    logger.stop()
    database.close()


def test_a_locked_file_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.2)
    database = Database(f"sqlite:///{tmp_path / 'xaiva.db'}")
    logger = EventLogger(database, tmp_path / "spool")
    logger.start()
    other = sqlite3.connect(tmp_path / "xaiva.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    logger.log(urgent())
    until(lambda: logger.status().state == "behind")
    assert "another process holds its lock" in logger.status().why
    other.execute("ROLLBACK")
    other.close()
    until(lambda: logger.status().state == "ok")
    assert len(kept(database)) == 1
    logger.stop()
    database.close()


def test_a_full_database_keeps_all_in_the_spool(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        database = Database(f"sqlite:///{disk / 'xaiva.db'}")
        logger = EventLogger(database, tmp_path / "spool")
        logger.start()
        hog = fill(disk)
        events = [urgent(note="x" * 2000) for _ in range(100)]
        for event in events:
            logger.log(event)
        until(lambda: logger.status().state == "behind")
        assert "full" in logger.status().why
        hog.unlink()
        assert logger.flush(PATIENCE)
        assert kept(database).keys() == {event.id for event in events}
        logger.stop()
        database.close()


def test_a_full_spool_is_told_to_the_caller_and_shown(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'xaiva.db'}")
    with small_disk(tmp_path / "disk", "1m") as disk:
        logger = EventLogger(database, disk / "spool")
        logger.start()
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
        logger.stop()
    database.close()


def _log_without_end(logger: EventLogger) -> None:
    for _ in range(100):
        logger.log(an_event(note="x" * 4000))


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
