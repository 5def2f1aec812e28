"""The text formats of schedules, polygons, channels and times, and their errors."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.api_schema import CameraRequest, Channel, ChannelKind, UserRequest, Window
from core.errors import InputError
from core.service_client import text_formats

NOW = datetime(2026, 3, 4, 15, 30).astimezone()


def test_a_schedule_says_days_hours_or_both() -> None:
    night, weekend = text_formats.parse_schedule("mo-fr 18:00-06:00; sa,su")
    assert (night.days, night.start, night.end) == ((0, 1, 2, 3, 4), time(18), time(6))
    assert (weekend.days, weekend.start, weekend.end) == ((5, 6), time(0), time(0))
    (hours,) = text_formats.parse_schedule("08:00-24:00")
    assert (hours.days, hours.end) == (tuple(range(7)), time(0))
    (around,) = text_formats.parse_schedule("sa-mo")
    assert around.days == (0, 5, 6)
    assert text_formats.parse_schedule("") == ()


WINDOWS = st.lists(
    st.builds(
        Window,
        days=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
        start=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
        end=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    ),
    max_size=4,
)


@given(WINDOWS)
@settings(max_examples=100, deadline=None)
def test_a_schedule_reads_what_it_writes(windows: list[Window]) -> None:
    assert text_formats.parse_schedule(text_formats.format_schedule(windows)) == tuple(windows)


@pytest.mark.parametrize("text", ["mondays", "mo-xx", "25:00-26:00", "mo 8-9", "mo-fr 18:00"])
def test_a_schedule_that_is_none_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(InputError) as caught:
        text_formats.parse_schedule(text)
    assert "mo-fr" in caught.value.remedy


def test_zones_and_masks() -> None:
    (gate, door) = text_formats.parse_zones("gate: 0,0 0.5,0 0.5,1; door: 0.1,0.1 0.2,0.1 0.2,0.9")
    assert (gate.name, gate.polygon) == ("gate", ((0, 0), (0.5, 0), (0.5, 1)))
    assert text_formats.parse_polygon(text_formats.format_polygon(door.polygon)) == door.polygon
    assert text_formats.parse_polygons("") == ()


@pytest.mark.parametrize("text", ["0,0 1,1", "0,0 1,1 2,2", "a,b c,d e,f", "0 0 1"])
def test_a_polygon_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="Polygon"):
        text_formats.parse_polygon(text)


def test_a_zone_has_a_name() -> None:
    with pytest.raises(InputError, match="no name"):
        text_formats.parse_zone("0,0 1,0 1,1")


def test_channels_by_kind_or_by_their_looks() -> None:
    words = "ops@example.org https://host/hook secret=HOOK_KEY tgram://token/chat apprise:mailto://x"
    channels = text_formats.parse_channels(words.split())
    assert [channel.kind for channel in channels] == [
        ChannelKind.EMAIL,
        ChannelKind.WEBHOOK,
        ChannelKind.APPRISE,
        ChannelKind.APPRISE,
    ]
    assert [channel.secret_variable for channel in channels] == ["", "HOOK_KEY", "", ""]
    assert channels[3].to == "mailto://x"
    written = [word for one in channels for word in text_formats.format_channel(one).split()]
    assert text_formats.parse_channels(written) == channels


@pytest.mark.parametrize("words", ["nobody", "secret=KEY", "https://host/x secret=lower"])
def test_what_is_no_channel_is_refused(words: str) -> None:
    with pytest.raises(InputError):
        text_formats.parse_channels(words.split())


def test_moments() -> None:
    assert text_formats.parse_time_of_past("2h", NOW) == NOW - timedelta(hours=2)
    assert text_formats.parse_time_of_past("7d", NOW) == NOW - timedelta(days=7)
    assert text_formats.parse_time_of_past("today", NOW).strftime("%Y-%m-%d %H:%M") == "2026-03-04 00:00"
    assert text_formats.parse_time_of_past("yesterday", NOW).strftime("%Y-%m-%d %H:%M") == "2026-03-03 00:00"
    assert text_formats.parse_time_of_past("2026-01-31 12:00", NOW).strftime("%Y-%m-%d %H:%M") == "2026-01-31 12:00"
    assert text_formats.parse_time_of_past("2026-01-31", NOW).tzinfo is not None
    for none in ("soon", "999999w", "0001-01-01"):
        with pytest.raises(InputError, match="neither an age, a day"):
            text_formats.parse_time_of_past(none, NOW)


def test_what_is_wrong_is_named_and_a_password_never_repeated() -> None:
    with pytest.raises(InputError, match="source"):
        text_formats.build_request(CameraRequest, {"id": "gate", "source": ""})
    with pytest.raises(InputError, match=r"detection\.threshold"):
        text_formats.build_request(CameraRequest, {"id": "gate", "source": "x", "detection": {"threshold": 7}})
    with pytest.raises(InputError) as caught:
        text_formats.build_request(UserRequest, {"name": "ana", "password": "hunter2"})
    assert "shorter than 10" in caught.value.why
    assert "hunter2" not in str(caught.value)
    assert isinstance(text_formats.build_request(Channel, {"kind": "email", "to": "a@b"}), Channel)
