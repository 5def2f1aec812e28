"""The event logger on both databases: events come at once or in batches, and in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.api_schema import Analysis, Clip, Priority
from core.inference.database.engine import Database
from core.inference.events import logger as logger_module
from core.inference.events.ids import new_id
from core.inference.events.spool import Spool, SpoolError
from core.inference.events.spool_records import Record, encode
from tests.events.conftest import Start
from tests.events.support import an_event, full_event, kept, urgent
from tests.support import PATIENCE, until
from tests.support.race import together


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written for its age alone."""
    monkeypatch.setattr(logger_module, "MAX_WAIT_SECONDS", 3600.0)


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


def test_the_writer_survives_the_unforeseen(start: Start, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
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

    def work(_: int) -> None:
        for _ in range(25):
            event = an_event()
            logger.log(event)
            ids.append(event.id)
            for number in range(3):
                logger.update(event.id, note=str(number))

    together(8, work)
    assert logger.flush(PATIENCE)
    rows = kept(database)
    assert sorted(rows) == sorted(ids)
    assert {row.note for row in rows.values()} == {"2"}
