"""What goes when: by age, by size, by free disk; protected events never by age, and else last."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from core.api_schema import Clip
from core.errors import InputError, XaivaError
from core.inference.database import engine
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.database.models import DailyStatisticsRow, EventRow, SettingRow
from core.inference.events import media_store as media_module
from core.inference.events import retention as retention_module
from core.inference.events.apply_batch import apply_batch
from core.inference.events.ids import new_id, time_of_id
from core.inference.events.media_store import MediaStore
from core.inference.events.retention import Retention
from core.inference.events.spool_records import event_record
from core.inference.events.statistics import DailyStatistics
from core.inference.settings import ServiceSettings
from tests.events.support import an_event, id_of, sqlite
from tests.support import SQLITE_ALONE, until
from tests.support.disks import fill, small_disk
from tests.support.postgres import Postgres

MEGA = 10**6
Keep = Callable[..., str]


@pytest.fixture
def media(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path / "media")


@pytest.fixture
def keep(database: Database, media: MediaStore) -> Keep:
    """Keeps an event of that age in days with a clip of so many bytes and a snapshot; returns its id."""

    def one(age: float, size: int = 1000, protected: bool = False, fresh: bool = False, row: bool = True) -> str:
        event = id_of(age)
        started = time_of_id(event)
        if row:
            clip = Clip(state="done", seconds=5, bytes=size)
            event_ = an_event(event, started=started, decided=started, clip=clip, snapshot=True, protected=protected)
            database.write(lambda session: apply_batch(session, "test", [event_record(event_)], 0))
        path = media.prepare_clip(event)
        path.write_bytes(b"c" * size)
        media.put_snapshot(event, b"j" * 10)
        for file in () if fresh else (path, media.snapshot_path(event)):
            os.utime(file, (time.time() - 3600, time.time() - 3600))
        return event

    return one


def settings(tmp_path: Path, **bounds: float) -> ServiceSettings:
    values = {"clips_days": 30, "clips_gb": 50, "clips_free_gb": 0, "events_days": 365, **bounds}
    return ServiceSettings.model_validate({"data": tmp_path, "zone": "Europe/Berlin", **values})


def there(media: MediaStore) -> set[str]:
    return {file.event for file in media.files()}


def row(database: Database, event: str) -> EventRow | None:
    with database.read() as session:
        return session.get(EventRow, event)


def test_old_clips_go_and_events_say_so(database: Database, media: MediaStore, keep: Keep, tmp_path: Path) -> None:
    old, young, guarded = keep(31), keep(29), keep(31, protected=True)
    stray = keep(40, row=False)
    removed = Retention(media.folder, database, settings(tmp_path)).run_once()
    assert there(media) == {young, guarded}
    assert (removed.files, removed.bytes, removed.protected, removed.events) == (4, 2020, 0, 0)
    gone, left = row(database, old), row(database, young)
    assert gone is not None
    assert left is not None
    assert (gone.snapshot, gone.clip_state, gone.clip_bytes) == (False, "none", 0)
    assert gone.clip_why == "removed after 30 days"
    assert (left.snapshot, left.clip_state) == (True, "done")
    assert row(database, stray) is None


@SQLITE_ALONE
def test_the_oldest_go_if_there_is_too_much(database: Database, media: MediaStore, keep: Keep, tmp_path: Path) -> None:
    guarded = keep(9, MEGA, protected=True)
    ids = [keep(8 - number, MEGA) for number in range(5)]
    removed = Retention(media.folder, database, settings(tmp_path, clips_gb=0.0041)).run_once()
    assert there(media) == {guarded, *ids[2:]}
    assert removed.protected == 0
    gone = row(database, ids[0])
    assert gone is not None
    assert gone.clip_why == "removed to make room"


@SQLITE_ALONE
def test_protected_ones_go_last(
    database: Database, media: MediaStore, keep: Keep, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, newer = keep(9, MEGA, protected=True), keep(8, MEGA, protected=True)
    keep(1, MEGA)
    removed = Retention(media.folder, database, settings(tmp_path, clips_gb=0.0011)).run_once()
    assert there(media) == {newer}
    assert removed.protected == 1
    assert row(database, old) is not None
    assert "only protected events were left" in caplog.text


@SQLITE_ALONE
def test_what_is_still_written_stays(database: Database, media: MediaStore, keep: Keep, tmp_path: Path) -> None:
    fresh = keep(0, MEGA, fresh=True)
    keep(1, MEGA)
    Retention(media.folder, database, settings(tmp_path, clips_gb=0.0001)).run_once()
    assert there(media) == {fresh}


@SQLITE_ALONE
def test_room_is_made_where_others_fill(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_module, "SPOOL_RESERVE_BYTES", MEGA)
    with small_disk(tmp_path / "disk", "8m") as disk:
        media = MediaStore(disk / "media")
        ids = [id_of(10 - number) for number in range(4)]
        for event in ids:
            media.prepare_clip(event).write_bytes(b"c" * MEGA)
            os.utime(media.clip_path(event), (0, 0))
        fill(disk)
        with pytest.raises(XaivaError, match="No space left"):
            media.put_snapshot(new_id(), b"j" * 10_000)
        assert media.status().state == "full"
        Retention(media.folder, database, settings(tmp_path, clips_free_gb=0.0015)).run_once()
        assert there(media) == set(ids[2:])
        media.put_snapshot(ids[3], b"j")


def test_room_is_made_when_the_database_itself_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_module, "SPOOL_RESERVE_BYTES", MEGA)
    with small_disk(tmp_path / "disk", "8m") as disk, sqlite(disk) as database:
        media = MediaStore(disk / "media")
        event = id_of(3)
        started = time_of_id(event)
        event_ = an_event(event, started=started, decided=started, clip=Clip(state="done"), snapshot=True)
        database.write(lambda session: apply_batch(session, "test", [event_record(event_)], 0))
        media.prepare_clip(event).write_bytes(b"c" * MEGA)
        os.utime(media.clip_path(event), (0, 0))
        fill(disk)
        with pytest.raises(DatabaseError):
            database.write(lambda session: session.add(SettingRow(key="x", value={"x": "x" * 200_000})))
        Retention(media.folder, database, settings(tmp_path, clips_free_gb=0.0005)).run_once()
        gone = row(database, event)
        assert gone is not None
        assert gone.clip_why == "removed to make room"
        assert there(media) == set()


def test_the_last_of_a_disk_is_for_events(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "20m") as disk:
        media = MediaStore(disk / "media")
        media.put_snapshot(new_id(), b"j" * 5 * MEGA)
        for refused in (lambda: media.put_snapshot(new_id(), b"j"), lambda: media.prepare_clip(new_id())):
            with pytest.raises(XaivaError, match="reserved for events"):
                refused()
        assert media.status().state == "full"


def test_without_the_database_nothing_goes(postgres: Postgres, tmp_path: Path) -> None:
    """Nobody knows then what is protected."""
    database = Database(postgres.new_database())
    media = MediaStore(tmp_path / "media")
    event = id_of(100)
    media.prepare_clip(event).write_bytes(b"c")
    postgres.stop()
    try:
        with pytest.raises(DatabaseError):
            Retention(media.folder, database, settings(tmp_path)).run_once()
        assert there(media) == {event}
    finally:
        postgres.start()
    Retention(media.folder, database, settings(tmp_path)).run_once()
    assert there(media) == set()
    database.close()


def test_old_events_go_and_statistics_stay(database: Database, media: MediaStore, keep: Keep, tmp_path: Path) -> None:
    old, guarded, young = keep(20), keep(20, protected=True), keep(3)
    statistics = DailyStatistics(database, "Europe/Berlin")
    today = datetime.now(timezone.utc).date()
    before = statistics.days(today - timedelta(days=40), today, None)
    removed = Retention(media.folder, database, settings(tmp_path, events_days=10)).run_once()
    assert removed.events == 1
    assert row(database, old) is None
    assert row(database, guarded) is not None
    assert there(media) == {guarded, young}
    assert statistics.days(today - timedelta(days=40), today, None) == before
    assert Retention(media.folder, database, settings(tmp_path, events_days=10)).run_once().events == 0
    assert statistics.days(today - timedelta(days=40), today, None) == before


@SQLITE_ALONE
def test_a_day_that_loses_none_is_not_kept(database: Database, media: MediaStore, keep: Keep, tmp_path: Path) -> None:
    """It is counted as ever: somebody may still acknowledge what is left of it."""
    gone = [keep(age) for age in (40, 39, 39)]
    guarded = keep(30, protected=True)
    assert Retention(media.folder, database, settings(tmp_path, events_days=10)).run_once().events == 3
    assert not any(row(database, event) for event in gone)
    assert row(database, guarded) is not None
    with database.read() as session:
        kept_dates = set(session.scalars(select(DailyStatisticsRow.date)))
    assert kept_dates == {time_of_id(event).astimezone(ZoneInfo("Europe/Berlin")).date() for event in gone}


def test_a_database_that_is_locked_loses_no_clip_that_it_still_names(
    media: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.1)
    database = Database(f"sqlite:///{tmp_path / 'xaiva.db'}")
    event = id_of(100)
    media.prepare_clip(event).write_bytes(b"c")
    other = sqlite3.connect(tmp_path / "xaiva.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match="another process holds its lock"):
        Retention(media.folder, database, settings(tmp_path)).run_once()
    assert there(media) == {event}
    other.close()
    database.close()


@SQLITE_ALONE
def test_it_runs_by_itself(
    database: Database, media: MediaStore, keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "ROUND_SECONDS", 0.02)
    retention = Retention(media.folder, database, settings(tmp_path))
    keep(50)
    retention.start()
    until(lambda: there(media) == set())
    media.prepare_clip(id_of(60)).write_bytes(b"c")
    until(lambda: there(media) == set())
    retention.stop()


@SQLITE_ALONE
def test_a_folder_that_goes_while_it_is_read_is_left_out(media: MediaStore, keep: Keep) -> None:
    older, newer = keep(5), keep(4)
    files = media.files()
    assert next(files).event == older
    shutil.rmtree(media.clip_path(newer).parent)
    assert {file.event for file in files} == {older}


@SQLITE_ALONE
def test_leftovers_of_a_kill_go(database: Database, media: MediaStore, keep: Keep, tmp_path: Path) -> None:
    event = keep(1)
    folder = media.clip_path(event).parent
    old, young = folder / ".xaiva-tmp-old", folder / ".xaiva-tmp-young"
    for file in (old, young):
        file.write_bytes(b"x")
    os.utime(old, (0, 0))
    Retention(media.folder, database, settings(tmp_path)).run_once()
    assert sorted(path.name for path in folder.glob(".xaiva*")) == [young.name]


def test_where_media_lie(tmp_path: Path) -> None:
    media = MediaStore(tmp_path / "media")
    event = an_event(id_of(0))
    assert media.clip_path(event) == media.clip_path(event.id)
    assert media.clip_path(event).parent.name == f"{time_of_id(event.id):%Y-%m-%d}"
    assert media.status().model_dump(include={"clips", "used", "state"}) == {"clips": 0, "used": 0, "state": "ok"}
    media.put_snapshot(event, b"one")
    media.put_snapshot(event, b"two")
    assert media.snapshot_path(event).read_bytes() == b"two"
    (tmp_path / "media" / "notes").mkdir()
    (tmp_path / "media" / "notes" / "readme.jpg").write_bytes(b"not ours")
    assert [file.event for file in media.files()] == [event.id]
    for bad in ("../../x", "", "a/b"):
        with pytest.raises(InputError):
            media.clip_path(bad)
