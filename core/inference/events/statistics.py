"""Daily statistics in a time zone: events by type, priority and hour. A day has 23, 24 or 25 hours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ColumnElement, Integer, extract, func, select
from sqlalchemy import cast as cast_to
from sqlalchemy.orm import Session

from core.api_schema import DayStatistics, Priority, Statistics
from core.inference.database.engine import Database
from core.inference.database.models import DailyStatisticsRow, EventRow

SLOT_SECONDS = 900  # the database counts per slot: every zone's offset from UTC is a multiple of it
HOUR = timedelta(hours=1)
_KEPT_FIELDS = ("events", "acknowledged", "by_type", "by_priority", "by_hour", "highest_score", "mean_response")


class DailyStatistics:
    """Counts the events; uses stored numbers for days whose events were removed. Raises DatabaseError."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self.zone = ZoneInfo(zone)

    def days(self, first: date, last: date, cameras: list[str] | None) -> Statistics:
        """The days from `first` to `last` inclusive of these cameras (None: all); days without events are left out."""
        with self._database.read() as session:
            kept_days = list(self._kept_days(session, first, last))
            kept_dates = {day.date for day in kept_days}
            days = kept_days + [day for day in self._count_days(session, first, last) if day.date not in kept_dates]
        visible = [day for day in days if cameras is None or day.camera in cameras]
        return Statistics(zone=self.zone.key, days=sorted(visible, key=lambda day: (day.date, day.camera)))

    def keep_day(self, session: Session, day: date) -> None:
        """Store the numbers of a day whose events will be removed, unless that was done before."""
        if not any(self._kept_days(session, day, day)):
            for statistics in self._count_days(session, day, day):
                session.add(DailyStatisticsRow(zone=self.zone.key, **statistics.model_dump()))

    def start(self, day: date) -> datetime:
        """The first instant of a day in UTC; where clocks skip midnight, the instant they skip to."""
        return datetime.combine(day, time(0), self.zone).astimezone(timezone.utc)

    def _kept_days(self, session: Session, first: date, last: date) -> Iterator[DayStatistics]:
        """Includes days that were stored in another zone: their events are gone and cannot be counted again."""
        rows = session.scalars(select(DailyStatisticsRow).where(DailyStatisticsRow.date.between(first, last)))
        for row in rows:
            yield DayStatistics(date=row.date, camera=row.camera, **{name: getattr(row, name) for name in _KEPT_FIELDS})

    def _count_days(self, session: Session, first: date, last: date) -> list[DayStatistics]:
        slot = _slot(session).label("slot")
        kind = (EventRow.camera, EventRow.type, EventRow.priority, slot)
        response = EventRow.response_time
        query = (
            select(
                *kind,
                func.count().label("events"),
                func.count(EventRow.acknowledged).label("acknowledged"),
                func.max(EventRow.score).label("highest_score"),
                func.coalesce(func.sum(response), 0.0).label("response_sum"),
                func.count(response).label("responses"),
            )
            .where(EventRow.started >= self.start(first), EventRow.started < self.start(last + timedelta(days=1)))
            .group_by(*kind)
        )
        return self._by_day(map(_Count._make, session.execute(query)))

    def _by_day(self, counts: Iterable[_Count]) -> list[DayStatistics]:
        days: dict[tuple[date, str], _Day] = {}
        slot_times: dict[int, _SlotTime] = {}
        for count in counts:
            slot_time = slot_times.get(count.slot) or slot_times.setdefault(count.slot, self._slot_time(count.slot))
            day = days.get((slot_time.day, count.camera))
            if day is None:
                day = days[slot_time.day, count.camera] = _Day([0] * slot_time.hours)
            day.add(count, slot_time.hour)
        return [day.as_statistics(today, camera) for (today, camera), day in days.items()]

    def _slot_time(self, slot: int) -> _SlotTime:
        moment = datetime.fromtimestamp(slot * SLOT_SECONDS, timezone.utc)
        day = moment.astimezone(self.zone).date()
        start, end = self.start(day), self.start(day + timedelta(days=1))
        return _SlotTime(day, (moment - start) // HOUR, math.ceil((end - start) / HOUR))


class _SlotTime(NamedTuple):
    """The day and hour of a slot, and how many hours that day has."""

    day: date
    hour: int
    hours: int


class _Count(NamedTuple):
    """One row of the counting query."""

    camera: str
    type: str
    priority: int
    slot: int
    events: int
    acknowledged: int
    highest_score: float
    response_sum: float
    responses: int


@dataclass
class _Day:
    """Running totals of one camera's day."""

    by_hour: list[int]
    events: int = 0
    acknowledged: int = 0
    by_type: dict[str, int] = field(default_factory=dict)
    by_priority: dict[str, int] = field(default_factory=dict)
    highest_score: float = 0
    response_sum: float = 0
    responses: int = 0

    def add(self, count: _Count, hour: int) -> None:
        priority = Priority.of_rank(count.priority).value
        self.by_hour[hour] += count.events
        self.events += count.events
        self.acknowledged += count.acknowledged
        self.by_type[count.type] = self.by_type.get(count.type, 0) + count.events
        self.by_priority[priority] = self.by_priority.get(priority, 0) + count.events
        self.highest_score = max(self.highest_score, count.highest_score)
        self.response_sum += count.response_sum
        self.responses += count.responses

    def as_statistics(self, day: date, camera: str) -> DayStatistics:
        counted = {name: getattr(self, name) for name in _KEPT_FIELDS[:-1]}
        mean = self.response_sum / self.responses if self.responses else None
        return DayStatistics(date=day, camera=camera, mean_response=mean, **counted)


def _slot(session: Session) -> ColumnElement[int]:
    """The number of an event's slot since 1970; the only part that differs between the databases."""
    if session.get_bind().dialect.name == "sqlite":
        return cast(ColumnElement[int], cast_to(func.strftime("%s", EventRow.started), Integer).op("/")(SLOT_SECONDS))
    return cast_to(func.floor(extract("epoch", EventRow.started) / SLOT_SECONDS), BigInteger)
