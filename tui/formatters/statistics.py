"""The statistics of some days as charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.api_schema import DayStatistics, Priority, Statistics
from tui.formatters.cells import Line, Span, line
from tui.formatters.charts import bar_chart, column_chart


def by_day(statistics: Statistics | None, first: date, last: date, height: int, width: int) -> list[Line]:
    """Events per day, with waiting ones on top."""
    if statistics is None:
        return []
    sums: dict[date, tuple[int, int]] = {}
    for day in statistics.days:
        events, acknowledged = sums.get(day.date, (0, 0))
        sums[day.date] = events + day.events, acknowledged + day.acknowledged
    dates = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    labels = [day_text(day) for day in dates]
    total = sum(events for events, _ in sums.values())
    waiting = total - sum(done for _, done in sums.values())
    head = line(
        f"{total} events", Span(f"  {total - waiting} acknowledged", "bar"), Span(f"  {waiting} waiting", "warn")
    )
    chart = column_chart([sums.get(day, (0, 0)) for day in dates], labels, width, max(height - 2, 3))
    return [head, line(), *chart]


def day_text(day: date) -> str:
    """The day for a label or title: `Jan 31`."""
    return f"{day:%b} {day.day}"


def by_hour(statistics: Statistics | None, height: int, width: int) -> list[Line]:
    """Events by hour of the day, in the statistics' time zone."""
    if statistics is None:
        return []
    sums = [0] * 24
    for day in statistics.days:
        for hour, count in zip(_clock_hours(day.date, statistics.zone, len(day.by_hour)), day.by_hour, strict=True):
            sums[hour] += count
    if not any(sums):
        return _no_events()
    busiest = max(range(24), key=lambda hour: sums[hour])
    head = line(Span(f"most events between {busiest}:00 and {(busiest + 1) % 24}:00", "dim"))
    values = [(count, count) for count in sums]
    return [
        head,
        line(),
        *column_chart(values, [str(hour) if hour % 3 == 0 else "" for hour in range(24)], width, max(height - 2, 3)),
    ]


def _clock_hours(day: date, zone: str, count: int) -> Iterable[int]:
    """The clock hour of each hour of a day; one is missing or double when the clocks change."""
    if count == 24:
        return range(24)
    try:
        zone_info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return [min(hour, 23) for hour in range(count)]
    midnight = datetime.combine(day, time(0), zone_info).astimezone(timezone.utc)
    return [(midnight + timedelta(hours=number)).astimezone(zone_info).hour for number in range(count)]


def by_type(statistics: Statistics | None, width: int) -> list[Line]:
    """Events by type, and a line by priority."""
    if statistics is None:
        return []
    by_type: Counter[str] = Counter()
    by_priority: Counter[str] = Counter()
    for day in statistics.days:
        by_type.update(day.by_type)
        by_priority.update(day.by_priority)
    if not by_type:
        return _no_events()
    rank = {priority.value: priority.rank for priority in Priority}
    ranked = sorted(by_priority, key=lambda name: -rank.get(name, -1))
    priority_line = line(Span("  ".join(f"{name} {by_priority[name]}" for name in ranked), "dim"))
    return [priority_line, line(), *bar_chart(by_type, width)]


def by_camera(statistics: Statistics | None, width: int) -> list[Line]:
    """Events by camera, with the highest score and the mean response time."""
    if statistics is None:
        return []
    sums: Counter[str] = Counter()
    for day in statistics.days:
        sums[day.camera] += day.events
    if not any(sums.values()):
        return _no_events()
    notes = {name: _camera_note([day for day in statistics.days if day.camera == name]) for name in sums}
    return bar_chart({name: count for name, count in sums.items() if count}, width, notes)


def _camera_note(days: list[DayStatistics]) -> str:
    scores = [day.highest_score for day in days if day.highest_score is not None]
    responses = [(day.mean_response, day.events) for day in days if day.mean_response is not None and day.events]
    highest = f"up to {max(scores):.2f}" if scores else ""
    mean = (
        sum(value * count for value, count in responses) / sum(count for _, count in responses) if responses else None
    )
    return f"{highest}{f', {mean:.1f} s' if mean is not None else ''}"


def _no_events() -> list[Line]:
    return [line(Span("no events in these days", "dim"))]
