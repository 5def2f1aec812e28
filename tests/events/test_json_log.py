"""The JSON log: every change, whole lines, bounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.api_schema import Event
from core.inference.database.engine import Database
from core.inference.events import json_log
from core.inference.events import logger as logger_module
from core.inference.events.json_log import JsonLog
from core.inference.events.logger import EventLogger
from core.inference.events.store import EventStore
from tests.events.support import an_event, full_event, kept, logging_to
from tests.support import PATIENCE, until
from tests.support.disks import fill, small_disk


def test_the_json_log_has_every_event_as_it_became(database: Database, tmp_path: Path) -> None:
    with logging_to(database, tmp_path / "spool", json_log=tmp_path / "events.jsonl") as logger:
        event = full_event()
        logger.log(event)
        assert logger.flush(PATIENCE)
        logger.update(event.id, note="later")
        assert logger.flush(PATIENCE)
        assert EventStore(database, logger).protect(event.id, False)
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
    events = an_event(), an_event()
    with logging_to(database, tmp_path / "spool", json_log=path) as logger:
        logger.log(events[0])
        assert logger.flush(PATIENCE)
        assert (logger.status().state, logger.status().why) == (
            "ok", "lines are missing from the JSON log: No such file or directory",
        )  # fmt: skip
        path.parent.mkdir()
        logger.log(events[1])
        assert logger.flush(PATIENCE)
        assert logger.status().why == ""
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
