"""Rebuilds by schedule: once per slot, also after an outage, never twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from core.api_schema import ProductSettings, RebuildSchedule
from core.errors import XaivaError
from core.inference.database.engine import Database
from core.inference.database.models import ProductRow
from core.inference.inspection.products import ProductStore
from core.inference.inspection.rebuild_schedule import RebuildTimer, newest_slot

ZONE = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 11, 30, 3, 0, tzinfo=ZONE)  # 02:00 in UTC
NIGHTLY = RebuildSchedule(at=time(3, 0))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'xaiva.db'}")
    content = ProductSettings(rebuild=NIGHTLY).model_dump(mode="json")
    long_ago = MONDAY - timedelta(days=30)
    database.write(lambda session: session.add(ProductRow(name="나사", settings=content, rebuilt=long_ago)))
    yield database
    database.close()


class Starts:
    """What the timer starts."""

    def __init__(self) -> None:
        self.times: list[tuple[str, str]] = []
        self.error: XaivaError | None = None

    def __call__(self, product: str, slot: str) -> None:
        if self.error:
            raise self.error
        self.times.append((product, slot))


def test_each_slot_starts_one_rebuild(database: Database) -> None:
    starts = Starts()
    timer = RebuildTimer(ProductStore(database), starts, ZONE)
    assert timer.run_once(MONDAY - timedelta(seconds=1)) == []
    for seconds in (0, 10, 20):
        timer.run_once(MONDAY + timedelta(seconds=seconds))
    timer = RebuildTimer(ProductStore(database), starts, ZONE)  # after a restart
    timer.run_once(MONDAY + timedelta(seconds=30))
    assert starts.times == [("나사", "2026-11-30T02:00:00Z")]
    timer.run_once(MONDAY + timedelta(days=1))
    assert len(starts.times) == 2


def test_a_slot_is_caught_up_for_less_than_an_hour(database: Database) -> None:
    for minutes, expected in ((60, []), (59, ["나사"])):
        timer = RebuildTimer(ProductStore(database), Starts(), ZONE)
        assert timer.run_once(MONDAY + timedelta(days=minutes % 2, minutes=minutes)) == expected


def test_a_rebuild_that_was_missed_is_said_once(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    timer = RebuildTimer(ProductStore(database), Starts(), ZONE)
    for minutes in (60, 61, 62):
        assert timer.run_once(MONDAY + timedelta(minutes=minutes)) == []
    timer = RebuildTimer(ProductStore(database), Starts(), ZONE)  # after a restart
    assert timer.run_once(MONDAY + timedelta(minutes=63)) == []
    assert caplog.messages == ["the rebuild of 나사 at 2026-11-30 02:00:00+00:00 is left out: its time is long past"]


def test_a_rebuild_that_is_refused_is_tried_again(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    starts = Starts()
    timer = RebuildTimer(ProductStore(database), starts, ZONE)
    starts.error = XaivaError("Job banks", "job 7 does the same")
    assert timer.run_once(MONDAY) == timer.run_once(MONDAY + timedelta(seconds=10)) == []
    assert len(caplog.records) == 1
    starts.error = None
    assert timer.run_once(MONDAY + timedelta(minutes=5)) == ["나사"]


def test_a_crash_before_the_slot_was_noted_repeats_the_same_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = Starts()
    with monkeypatch.context() as killed:
        killed.setattr(ProductStore, "mark_rebuilt", lambda *_: None)
        RebuildTimer(ProductStore(database), starts, ZONE).run_once(MONDAY)
    RebuildTimer(ProductStore(database), starts, ZONE).run_once(MONDAY + timedelta(seconds=10))
    assert len(starts.times) == 2
    assert len(set(starts.times)) == 1


def test_slots_are_in_local_time() -> None:
    def newest(now: datetime, schedule: RebuildSchedule = NIGHTLY) -> str:
        slot = newest_slot(schedule, now, ZONE)
        return f"{slot:%m-%d %H:%M}" if slot else ""

    assert newest(MONDAY) == "11-30 02:00"
    assert newest(MONDAY - timedelta(minutes=1)) == "11-29 02:00"
    assert newest(datetime(2026, 7, 1, 12, 0, tzinfo=ZONE)) == "07-01 01:00"
    sundays = RebuildSchedule(days=(6,), at=time(2, 30))
    assert newest(MONDAY, sundays) == "11-29 01:30"
    never = datetime(2026, 3, 29, 12, 0, tzinfo=ZONE)  # summer time began at 02:00: 02:30 was left out
    assert newest(never, sundays) == "03-29 01:30"
    twice = datetime(2026, 10, 25, 12, 0, tzinfo=ZONE)  # summer time ended at 03:00: 02:30 was twice
    assert newest(twice, sundays) == "10-25 00:30"
    assert newest(MONDAY, RebuildSchedule(days=(), at=time(2, 30))) == ""
    assert newest_slot(NIGHTLY, MONDAY.astimezone(timezone.utc), ZONE) == MONDAY
