"""Inspections that wait on disk while the database is down: none is lost, and none that is refused stops the others."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from core.api_schema import Inspection, Verdict
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.events import media_store
from core.inference.events.ids import new_id
from core.inference.inspection.inspection_log import InspectionLog
from core.inference.inspection.inspections import InspectionStore, UnknownInspection
from tests.support.postgres import Postgres

LONG = random.Random(0).randbytes(4000).hex()  # PostgreSQL refuses an index entry that large


def inspection() -> Inspection:
    values = {"product": "screw", "at": datetime.now(timezone.utc), "score": 0.2, "threshold": 0.5, "bank": 1}
    return Inspection.model_validate({**values, "id": new_id(), "verdict": Verdict.NORMAL})


def add(log: InspectionLog, one: Inspection, source: str = "") -> bool:
    return log.add(one, heat_map=b"PNG", kept="", source=source)


class Outage:
    """Stands for a database that does not answer; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, *_args: object, **_fields: object) -> Any:
        self.asked += 1
        raise DatabaseError("Database", "it does not answer")


@pytest.fixture
def store(database: Database) -> InspectionStore:
    return InspectionStore(database)


@pytest.fixture
def postgres_store(postgres: Postgres) -> Iterator[InspectionStore]:
    url = postgres.new_database()
    with closing(Database(url)) as database:
        yield InspectionStore(database)
    postgres.give_back(url)


def test_a_waiting_inspection_that_is_refused_is_set_aside_and_the_next_is_stored(
    store: InspectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "waiting"
    log = InspectionLog(store, folder)
    refused, null, twice, good = (inspection() for _ in range(4))
    with monkeypatch.context() as patch:
        patch.setattr(store, "add", Outage())
        assert all(add(log, one) for one in (refused, null, twice, good))
    (folder / "0.json").write_text("[]")
    store.add(twice, heat_map=b"PNG", kept="", source="")  # a crash after it was stored
    for one, source in ((refused, "\ud800"), (null, None)):
        file = folder / f"{one.id}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "source": source}))
    assert log.catch_up() == 2
    assert store.get(good.id).inspection == good
    names = {path.name for path in folder.iterdir()}
    assert names == {"0.refused", f"{refused.id}.refused", f"{null.id}.refused"}
    assert caplog.text.count("set aside") == 3
    assert log.catch_up() == 0
    assert caplog.text.count("set aside") == 3


def test_a_driver_that_refuses_one_that_waits_does_not_hold_up_the_others(
    postgres_store: InspectionStore, tmp_path: Path
) -> None:
    log = InspectionLog(postgres_store, tmp_path)
    refused, good = inspection(), inspection()
    assert add(log, refused, LONG)
    assert add(log, good)
    log.catch_up()
    assert postgres_store.get(good.id).inspection == good
    with pytest.raises(UnknownInspection):
        postgres_store.get(refused.id)
    assert [path.name for path in tmp_path.iterdir()] == [f"{refused.id}.refused"]
    assert log.refused == InspectionLog(postgres_store, tmp_path).refused == 1


def test_a_database_that_is_down_is_asked_once_and_again_when_what_waits_is_stored(
    store: InspectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "waiting"
    log = InspectionLog(store, folder)
    waiting = [inspection() for _ in range(3)]
    with monkeypatch.context() as patch:
        asked = Outage()
        patch.setattr(store, "add", asked)
        patch.setattr(store, "of_source", asked)
        assert log.of_source("a") is None
        assert all(add(log, one, "a") for one in waiting)
        assert log.of_source("a") is None
        assert asked.asked == 1
        with pytest.raises(DatabaseError):
            log.catch_up()
        assert (log.refused, len(list(folder.iterdir()))) == (0, 3)
    assert log.catch_up() == 3
    assert log.of_source("a") in waiting
    assert add(log, later := inspection())
    assert store.get(later.id).inspection == later


def test_what_waits_leaves_room_for_events(
    store: InspectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = InspectionLog(store, tmp_path / "waiting")
    monkeypatch.setattr(store, "add", Outage())
    monkeypatch.setattr(media_store, "SPOOL_RESERVE_BYTES", 1 << 60)
    assert not add(log, inspection())
    assert not (tmp_path / "waiting").exists()
