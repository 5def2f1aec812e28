"""Daily statistics as charts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from core.inference.schemas import DayStatistics, Priority, Statistics
from tui.present.cells import Line, Span, line
from tui.present.charts import columns, named_bars


def days(found: Statistics | None, first: date, last: date, height: int, width: int) -> list[Line]:
    """Events a day, those that wait for somebody on top."""
    if found is None:
        return []
    sums: dict[date, tuple[int, int]] = {}
    for day in found.days:
        events, acknowledged = sums.get(day.date, (0, 0))
        sums[day.date] = events + day.events, acknowledged + day.acknowledged
    span = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    labels = [day_words(day) for day in span]
    total = sum(events for events, _ in sums.values())
    waiting = total - sum(done for _, done in sums.values())
    head = line(
        f"{total} events", Span(f"  {total - waiting} acknowledged", "bar"), Span(f"  {waiting} waiting", "warn")
    )
    chart = columns([sums.get(day, (0, 0)) for day in span], labels, width, max(height - 2, 3))
    return [head, line(), *chart]


def day_words(day: date) -> str:
    """`Jan 31`."""
    return f"{day:%b} {day.day}"


def hours(found: Statistics | None, height: int, width: int) -> list[Line]:
    """Events by the hour of the day in the statistics' zone."""
    if found is None:
        return []
    sums = [0] * 24
    for day in found.days:
        for hour, count in zip(_hours_of(day.date, found.zone, len(day.by_hour)), day.by_hour, strict=True):
            sums[hour] += count
    if not any(sums):
        return _none()
    busiest = max(range(24), key=lambda hour: sums[hour])
    head = line(Span(f"most between {busiest}:00 and {(busiest + 1) % 24}:00", "dim"))
    values = [(count, count) for count in sums]
    return [
        head,
        line(),
        *columns(values, [str(hour) if hour % 3 == 0 else "" for hour in range(24)], width, max(height - 2, 3)),
    ]


def _hours_of(day: date, zone: str, count: int) -> Iterable[int]:
    """The hour on the clock of each hour of a day: on the days on which clocks change one is missing or twice there."""
    if count == 24:
        return range(24)
    try:
        place = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        return [min(hour, 23) for hour in range(count)]
    midnight = datetime.combine(day, time(0), place).astimezone(timezone.utc)
    return [(midnight + timedelta(hours=number)).astimezone(place).hour for number in range(count)]


def types(found: Statistics | None, width: int) -> list[Line]:
    """Events by type, then by priority."""
    if found is None:
        return []
    by_type: Counter[str] = Counter()
    by_priority: Counter[str] = Counter()
    for day in found.days:
        by_type.update(day.by_type)
        by_priority.update(day.by_priority)
    if not by_type:
        return _none()
    order = {one.value: one.rank for one in Priority}
    ranked = sorted(by_priority, key=lambda name: -order.get(name, -1))
    told = line(Span("  ".join(f"{name} {by_priority[name]}" for name in ranked), "dim"))
    return [told, line(), *named_bars(by_type, width)]


def cameras(found: Statistics | None, width: int) -> list[Line]:
    """Events by camera, with the highest score and how long the response took."""
    if found is None:
        return []
    sums: Counter[str] = Counter()
    for day in found.days:
        sums[day.camera] += day.events
    if not any(sums.values()):
        return _none()
    notes = {name: _note([day for day in found.days if day.camera == name]) for name in sums}
    return named_bars({name: count for name, count in sums.items() if count}, width, notes)


def _note(of_camera: list[DayStatistics]) -> str:
    scores = [day.highest_score for day in of_camera if day.highest_score is not None]
    timed = [(day.mean_response, day.events) for day in of_camera if day.mean_response is not None and day.events]
    highest = f"up to {max(scores):.2f}" if scores else ""
    mean = sum(value * count for value, count in timed) / sum(count for _, count in timed) if timed else None
    return f"{highest}{f', {mean:.1f} s' if mean is not None else ''}"


def _none() -> list[Line]:
    return [line(Span("no event in these days", "dim"))]
