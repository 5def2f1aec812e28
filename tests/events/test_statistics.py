"""Daily statistics, on the days when clocks change too, and after the events of a day are gone."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from core.api_schema import DayStatistics, Event, Priority
from core.inference.database.engine import Database
from core.inference.database.models import EventRow
from core.inference.events.apply_batch import apply_batch
from core.inference.events.spool_records import event_record
from core.inference.events.statistics import DailyStatistics
from tests.events.support import an_event
from tests.support import SQLITE_ALONE

BERLIN = "Europe/Berlin"
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)  # 02:00 becomes 03:00; 03:00 becomes 02:00
ZONES = [BERLIN, "UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Santiago", "America/Havana", "Pacific/Apia"]


def keep(database: Database, *events: Event) -> None:
    database.write(lambda session: apply_batch(session, "test", [event_record(event) for event in events], 0))


def at(moment: datetime, **fields: object) -> Event:
    return an_event(**{"started": moment, "decided": moment, **fields})  # type: ignore[arg-type]


def every_five_minutes(first: datetime, hours: int) -> list[Event]:
    return [at(first + timedelta(minutes=5 * n)) for n in range(hours * 12)]


def one_day(database: Database, zone: str, day: date) -> DayStatistics:
    (statistics,) = DailyStatistics(database, zone).days(day, day, None).days
    return statistics


@SQLITE_ALONE
@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (AUTUMN, 25), (date(2026, 7, 1), 24)])
def test_a_day_has_the_hours_that_it_has(database: Database, day: date, hours: int) -> None:
    """An event every five minutes, from long before the day to long after it: each hour has its 12, none is lost."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(BERLIN)).astimezone(timezone.utc)
    keep(database, *every_five_minutes(midnight - timedelta(hours=3), hours + 6))
    result = one_day(database, BERLIN, day)
    assert result.by_hour == [12] * hours
    assert result.events == 12 * hours
    around = DailyStatistics(database, BERLIN).days(day - timedelta(days=1), day + timedelta(days=1), None).days
    assert [one.events for one in around] == [36, 12 * hours, 36]


def test_both_hours_that_the_clock_calls_two_are_told_apart(database: Database) -> None:
    zone = ZoneInfo(BERLIN)
    first = datetime(2026, 10, 25, 2, 30, tzinfo=zone)
    second = first.replace(fold=1)
    keep(database, at(first), at(second), at(second))
    assert one_day(database, BERLIN, AUTUMN).by_hour[2:5] == [1, 2, 0]


@SQLITE_ALONE
@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/Santiago", date(2026, 9, 6), 23),  # midnight itself does not exist
        ("America/Havana", date(2026, 11, 1), 25),  # midnight comes twice
        ("Australia/Lord_Howe", date(2026, 10, 4), 24),  # half an hour is left out: 23.5 hours
        ("Australia/Lord_Howe", date(2026, 4, 5), 25),  # half an hour more
        ("Asia/Kathmandu", date(2026, 1, 1), 24),  # 5:45 from UTC
    ],
)
def test_unusual_days(database: Database, zone: str, day: date, hours: int) -> None:
    statistics = DailyStatistics(database, zone)
    start, end = statistics.start(day), statistics.start(day + timedelta(days=1))
    keep(database, at(start - timedelta(minutes=1)), at(start), at(end - timedelta(minutes=1)), at(end))
    result = one_day(database, zone, day)
    assert len(result.by_hour) == hours
    assert result.events == 2
    assert result.by_hour[0] == result.by_hour[-1] == 1


def test_what_is_said_of_a_day(database: Database) -> None:
    noon = datetime(2026, 5, 5, 12, tzinfo=timezone.utc)
    keep(
        database,
        at(noon, type="motion", score=0.5, response_time=1.0),
        at(noon, type="person", score=0.75, response_time=2.0, priority=Priority.HIGH, acknowledged=noon),
        at(noon, type="person", score=0.25),
        at(noon, camera="yard"),
    )
    statistics = DailyStatistics(database, "UTC")
    gate, yard = statistics.days(noon.date(), noon.date(), None).days
    assert (gate.camera, yard.camera) == ("gate", "yard")
    assert (gate.events, gate.acknowledged, gate.highest_score, gate.mean_response) == (3, 1, 0.75, 1.5)
    assert gate.by_type == {"motion": 1, "person": 2}
    assert gate.by_priority == {"normal": 2, "high": 1}
    assert gate.by_hour[12] == 3
    assert yard.mean_response is None
    assert statistics.days(noon.date(), noon.date(), ["yard"]).days == [yard]
    assert statistics.days(noon.date(), noon.date(), []).days == []
    assert statistics.days(date(2027, 1, 1), date(2027, 1, 5), None).days == []


def test_a_kept_day_says_the_same_when_its_events_are_gone(database: Database) -> None:
    events = every_five_minutes(datetime(2026, 10, 24, 20, tzinfo=timezone.utc), 40)
    keep(database, *events)
    statistics = DailyStatistics(database, BERLIN)
    before = statistics.days(date(2026, 10, 20), date(2026, 10, 30), None)
    keep_all(database, statistics)
    assert statistics.days(date(2026, 10, 20), date(2026, 10, 30), None) == before
    closed = EventRow.started < statistics.start(date(2026, 10, 26))
    database.write(lambda session: session.execute(delete(EventRow).where(closed)))
    assert statistics.days(date(2026, 10, 20), date(2026, 10, 30), None) == before
    keep_all(database, statistics)  # again: nothing changes
    assert statistics.days(date(2026, 10, 20), date(2026, 10, 30), None) == before
    assert len(before.days) == 3
    elsewhere = DailyStatistics(database, "UTC").days(date(2026, 10, 20), date(2026, 10, 25), None)
    assert elsewhere.days == before.days[:2]  # the site's zone was corrected: what was kept is still told


def keep_all(database: Database, statistics: DailyStatistics) -> None:
    for day in (date(2026, 10, 24), date(2026, 10, 25)):
        database.write(partial(statistics.keep_day, day=day))


@given(
    zone=st.sampled_from(ZONES),
    moments=st.lists(st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)), min_size=1, max_size=20),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_event_is_counted_once_on_its_own_day(tmp_path: Path, zone: str, moments: list[datetime]) -> None:
    database = Database(f"sqlite:///{tmp_path / 'property.db'}")
    database.write(lambda session: session.execute(delete(EventRow)))
    keep(database, *(at(moment.replace(tzinfo=timezone.utc)) for moment in moments))
    days = DailyStatistics(database, zone).days(date(2023, 12, 31), date(2027, 1, 2), None).days
    local = [moment.replace(tzinfo=timezone.utc).astimezone(ZoneInfo(zone)).date() for moment in moments]
    assert {day.date: day.events for day in days} == {day: local.count(day) for day in local}
    assert all(sum(day.by_hour) == day.events for day in days)
    database.close()
