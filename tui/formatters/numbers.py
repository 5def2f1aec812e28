"""Sizes, durations, times and shares as short text and bars."""

from __future__ import annotations

import time

from tui.formatters.cells import Line, Span

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
FULL_BLOCK, EMPTY_BLOCK = "━", "─"
WARN_SHARE, ERROR_SHARE = 0.75, 0.92  # shares at which a bar turns yellow, then red


def size(count: float) -> str:
    """A number of bytes with its unit: `1.4 GiB`."""
    value = float(count)
    for unit in UNITS:
        if value < 1024 or unit == UNITS[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return ""


def rate(count: float) -> str:
    """Bytes per second: `1.4 MiB/s`."""
    return f"{size(count)}/s"


def duration(seconds: float) -> str:
    """`4 s`, `3:07`, `2:03:09`, `5 d 3 h`."""
    total = int(max(seconds, 0))
    if total < 60:
        return f"{total} s"
    minutes, rest = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes}:{rest:02d}"
    if hours < 48:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{hours // 24} d {hours % 24} h"


def coarse_duration(seconds: float) -> str:
    """A duration in one unit, so that a live screen seldom changes: `40 s`, `3 min`, `2 h`, `5 d`."""
    total = int(max(seconds, 0))
    for limit, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if total < limit:
            return f"{total // divisor} {unit}"
    return f"{total // 86400} d"


def local_time(moment: float) -> str:
    """A Unix time as local time, with the date when it is not today; "" for 0."""
    if not moment:
        return ""
    when, today = time.localtime(moment), time.localtime()
    return time.strftime("%H:%M:%S" if when[:3] == today[:3] else "%Y-%m-%d %H:%M", when)


def percent(share: float) -> str:
    """A share (0 to 1) as a right-aligned percentage."""
    return f"{share * 100:3.0f} %"


def load_role(share: float) -> str:
    """The role of a resource that should not fill up."""
    return "error" if share >= ERROR_SHARE else "warn" if share >= WARN_SHARE else "bar"


def bar(share: float, width: int, role: str | None = None) -> Line:
    """A bar of `width` columns filled to `share` (0 to 1); its colour warns as it fills, unless `role` is given."""
    share = min(max(share, 0.0), 1.0)
    full = round(share * width)
    return (
        Span(FULL_BLOCK * full, load_role(share) if role is None else role),
        Span(EMPTY_BLOCK * (width - full), "dim"),
    )
