"""Whether a schedule is open now, in a time zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from core.api_schema.base import Schedule, Window


def is_open(schedule: Schedule, moment: datetime, zone: ZoneInfo) -> bool:
    """Whether the time-zone-aware `moment` lies in a window; an empty schedule is always open."""
    local = moment.astimezone(zone)
    return not schedule or any(_within(window, local) for window in schedule)


def _within(window: Window, local: datetime) -> bool:
    clock = local.time()
    if window.start < window.end:
        return local.weekday() in window.days and window.start <= clock < window.end
    began = local if clock >= window.start else local - timedelta(days=1)
    return began.weekday() in window.days and (clock >= window.start or clock < window.end)
