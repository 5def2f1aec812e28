"""Text formats of schedules, polygons, channels and times, for the command line and for forms."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from core.api_schema import Channel, ChannelKind, Event, RebuildSchedule, Window, Zone
from core.errors import InputError
from core.validation_errors import first_problem

DAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")
SCHEDULE_FORM = "write it as: mo-fr 18:00-06:00; sa,su 00:00-24:00"
POLYGON_FORM = "write at least three corners as x,y in fractions of the picture: 0,0 0.5,0 0.5,1"
TIME_FORM = "write 30m, 2h, 7d, today, yesterday, 2026-01-31 or 2026-01-31 12:00"
CHANNEL_FORM = "write email:ops@example.org, webhook:https://host/path secret=VARIABLE, or apprise:its URL"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_HOURS = re.compile(r"(\d{1,2}):(\d\d)-(\d{1,2}):(\d\d)")

RequestT = TypeVar("RequestT", bound=BaseModel)
Polygon = tuple[tuple[float, float], ...]


def build_request(kind: type[RequestT], fields: Mapping[str, Any]) -> RequestT:
    """Build a request from its fields. Raises InputError that names the first invalid field."""
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        field, why = first_problem(error)
        raise InputError((field or kind.__name__).replace("_", " "), why, "correct it and try again") from None


# -- schedules ------------------------------------------------------------------------------------


def parse_schedule(text: str) -> tuple[Window, ...]:
    """Parse windows separated by semicolons, each of days, hours or both. Empty means always. Raises InputError."""
    return tuple(_parse_window(part) for part in text.split(";") if part.strip())


def format_schedule(windows: Iterable[Window]) -> str:
    """The text that `parse_schedule` reads."""
    return "; ".join(f"{format_days(window.days)} {_format_hours(window.start, window.end)}" for window in windows)


def _parse_window(text: str) -> Window:
    days: tuple[int, ...] = tuple(range(7))
    start = end = time(0, 0)
    for part in text.lower().split():
        if match := _HOURS.fullmatch(part):
            start, end = _parse_time(match[1], match[2], text), _parse_time(match[3], match[4], text)
        else:
            days = _parse_days(part, text)
    return Window(days=days, start=start, end=end)


def _parse_time(hour: str, minute: str, text: str) -> time:
    if (int(hour), int(minute)) == (24, 0):
        return time(0, 0)
    try:
        return time(int(hour), int(minute))
    except ValueError:
        raise InputError(f"Schedule {text.strip()}", f"{hour}:{minute} is not a time of day", SCHEDULE_FORM) from None


def _parse_days(word: str, text: str) -> tuple[int, ...]:
    if word == "daily":
        return tuple(range(7))
    numbers: set[int] = set()
    for part in word.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last and last not in DAYS):
            raise InputError(f"Schedule {text.strip()}", f"{part} is not a day", SCHEDULE_FORM)
        begin = DAYS.index(first)
        length = (DAYS.index(last or first) - begin) % 7
        numbers.update((begin + step) % 7 for step in range(length + 1))
    return tuple(sorted(numbers))


def format_days(days: Iterable[int]) -> str:
    """Days of the week: `mo-fr,su`, or `daily`."""
    numbers = sorted(set(days))
    if len(numbers) == 7:
        return "daily"
    runs: list[list[int]] = []
    for day in numbers:
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(DAYS[run[0]] + (f"-{DAYS[run[-1]]}" if len(run) > 1 else "") for run in runs)


def _format_hours(start: time, end: time) -> str:
    return f"{start:%H:%M}-{'24:00' if end == time(0, 0) else f'{end:%H:%M}'}"


def format_rebuild(schedule: RebuildSchedule) -> str:
    """When a memory bank is rebuilt: `mo-fr 03:00`."""
    return f"{format_days(schedule.days)} {schedule.at:%H:%M}"


# -- regions of the picture ------------------------------------------------------------------------------------


def parse_polygon(text: str) -> Polygon:
    """Parse corners as `x,y` separated by blanks. Raises InputError."""
    try:
        corners = tuple((float(x), float(y)) for x, y in (word.split(",") for word in text.split()))
    except ValueError:
        raise InputError(f"Polygon {text.strip()}", "the corners are not numbers", POLYGON_FORM) from None
    if len(corners) < 3 or not all(0 <= value <= 1 for corner in corners for value in corner):
        raise InputError(
            f"Polygon {text.strip()}", "there are too few corners, or one is outside the picture", POLYGON_FORM
        )
    return corners


def parse_polygons(text: str) -> tuple[Polygon, ...]:
    """Parse polygons separated by semicolons. Raises InputError."""
    return tuple(parse_polygon(part) for part in text.split(";") if part.strip())


def parse_zone(text: str) -> Zone:
    """Parse `name: x,y x,y x,y`. Raises InputError."""
    name, colon, corners = text.partition(":")
    if not colon or not name.strip():
        raise InputError(f"Zone {text.strip()}", "it has no name", "write it as: gate: 0,0 0.5,0 0.5,1")
    return build_request(Zone, {"name": name.strip(), "polygon": parse_polygon(corners)})


def parse_zones(text: str) -> tuple[Zone, ...]:
    """Parse zones separated by semicolons. Raises InputError."""
    return tuple(parse_zone(part) for part in text.split(";") if part.strip())


def format_polygon(corners: Iterable[tuple[float, float]]) -> str:
    """The text that `parse_polygon` reads."""
    return " ".join(f"{x:g},{y:g}" for x, y in corners)


# -- channels ------------------------------------------------------------------------------------


def parse_channels(words: Iterable[str]) -> tuple[Channel, ...]:
    """Parse channels, one per word. `secret=VARIABLE` belongs to the channel before it. Raises InputError.

    A word without a kind is a mail address, a webhook if it starts with http, or else an Apprise URL.
    """
    fields: list[dict[str, str]] = []
    for word in words:
        if word.startswith("secret="):
            if not fields:
                raise InputError("Channel", "secret=… must follow a channel", CHANNEL_FORM)
            fields[-1]["secret_variable"] = word.removeprefix("secret=")
        else:
            fields.append(_parse_channel(word))
    return tuple(build_request(Channel, channel) for channel in fields)


def format_channel(channel: Channel) -> str:
    """The text that `parse_channels` reads."""
    secret = f" secret={channel.secret_variable}" if channel.secret_variable else ""
    return f"{channel.kind.word}:{channel.to}{secret}"


def _parse_channel(word: str) -> dict[str, str]:
    kind, _, to = word.partition(":")
    if kind in {known.value for known in ChannelKind}:
        return {"kind": kind, "to": to}
    if "://" in to:  # webhok:https://…: an unknown kind
        kinds = [known.value for known in ChannelKind]
        close = difflib.get_close_matches(kind, kinds, n=1)
        remedy = f"did you mean {close[0]}:?" if close else f"kinds are {', '.join(kinds)}"
        raise InputError(f"Channel {kind}:", "there is no such kind of channel", remedy)
    if "://" not in word:
        if "@" not in word:
            raise InputError(f"Channel {word}", "it is neither a mail address nor a URL", CHANNEL_FORM)
        return {"kind": ChannelKind.EMAIL.value, "to": word}
    return {"kind": (ChannelKind.WEBHOOK if kind in ("http", "https") else ChannelKind.APPRISE).value, "to": word}


# -- people ---------------------------------------------------------------------------------------

SERVICE_TOKEN_USER = "service"  # the name of the service token's holder; reserved, so no user can have it


def format_acknowledger(event: Event) -> str:
    """Who acknowledged an event: a user, or the holder of the service's token."""
    if event.acknowledged_by == SERVICE_TOKEN_USER:
        return "the holder of the service's token"
    return event.acknowledged_by or "an unknown user"


# -- learning -------------------------------------------------------------------------------------

LEARNING_EFFECT = "then the camera uses the “memory” detector with a threshold of 0.5"


# -- times ------------------------------------------------------------------------------------


def parse_time_of_past(text: str, now: datetime | None = None) -> datetime:
    """Parse a time of the past in this machine's zone: an age, a day, or a day and time. Raises InputError."""
    now = (now or datetime.now()).astimezone()
    word = text.strip().lower()
    try:
        if match := re.fullmatch(r"(\d{1,6})\s*([mhdw])", word):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        if word in ("today", "yesterday"):
            day = now.date() - timedelta(days=word == "yesterday")
            return datetime.combine(day, time(0, 0)).astimezone()
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise InputError(f"Time {text}", "it is neither an age, a day nor a time", TIME_FORM) from None
