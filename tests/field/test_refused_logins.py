"""Which sources wait after a refused login, and for how long, so that no recorder locks its user out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from core.inference.cameras.login_backoff import REFUSAL_DELAYS, TURN_SECONDS, LoginBackoff
from core.inference.cameras.source_address import parse_source

LOGIN = parse_source("rtsp://admin:wrong@192.0.2.1/1")
QUERY = "http://192.0.2.1/video?user=admin&password=wrong&channel=1"
PATH = "rtsp://192.0.2.1/user=admin_password=wrong_channel=1_stream=0.sdp"
TOKEN = "http://192.0.2.1/api/9f8e7d6c5b4a39281706f5e4/1"
# name: (a login that is refused, another source, whether that one waits)
NEIGHBOURS = {
    "the next channel": (LOGIN.url, "rtsp://admin:wrong@192.0.2.1/2", True),
    "another port": (LOGIN.url, "rtsp://admin:wrong@192.0.2.1:8554/1", True),
    "another protocol": (LOGIN.url, "http://admin:wrong@192.0.2.1/1", True),
    "another password": (LOGIN.url, "rtsp://admin:right@192.0.2.1/1", False),
    "another user": (LOGIN.url, "rtsp://guest:wrong@192.0.2.1/1", False),
    "another host": (LOGIN.url, "rtsp://admin:wrong@192.0.2.2/1", False),
    "no login": (LOGIN.url, "rtsp://192.0.2.1/1", False),
    "a file": (LOGIN.url, "/media/clip.mp4", False),
    "a password written otherwise": (LOGIN.url, "rtsp://admin:wr%6Fng@192.0.2.1/1", True),
    "a host written otherwise": ("rtsp://admin:x@cam.lan/1", "rtsp://admin:x@CAM.lan./1", True),
    "IPv6 written otherwise": ("rtsp://admin:x@[2001:db8::1]/1", "rtsp://admin:x@[2001:DB8:0::0:1]/1", True),
    "in the query": (QUERY, QUERY, True),
    "in the query, the next channel": (QUERY, QUERY.replace("=1", "=2"), True),
    "in the query, in another order": (QUERY, "http://192.0.2.1/video?password=wrong&user=admin", True),
    "in the query, another password": (QUERY, QUERY.replace("wrong", "right"), False),
    "in the query, u and p": ("http://192.0.2.1/?u=a&p=x&cam=Garden", "http://192.0.2.1/?u=a&p=x&cam=Yard-7f3e", True),
    "in the path, the next channel": (PATH, PATH.replace("channel=1", "channel=2"), True),
    "in the path, another password": (PATH, PATH.replace("wrong", "right"), False),
    "a token in the path, the next channel": (TOKEN, TOKEN[:-1] + "2", True),
    "another token in the path": (TOKEN, TOKEN.replace("9f8e", "0a1b"), False),
}


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_who_waits_with_a_refused_login(name: str) -> None:
    refused_one, source, waits = NEIGHBOURS[name]
    logins = LoginBackoff()
    assert logins.wait(parse_source(refused_one)) == (0, False)
    logins.refused(parse_source(refused_one))
    seconds, because = logins.wait(parse_source(source))
    assert because is waits
    assert seconds == (pytest.approx(REFUSAL_DELAYS[0], abs=5) if waits else 0)


def test_the_waits_grow_and_start_again_once_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    logins = LoginBackoff()
    waits = []
    for _ in range(6):
        assert logins.wait(LOGIN) == (0, False)
        logins.refused(LOGIN)
        logins.refused(LOGIN)  # two at the same time are one step
        waits.append(logins.wait(LOGIN)[0])
        now[0] += waits[-1]
    assert waits == [120, 300, 600, 1800, 1800, 1800]
    logins.accepted(LOGIN)
    assert logins.wait(LOGIN) == logins.wait(LOGIN) == (0, False)
    logins.refused(LOGIN)
    assert logins.wait(LOGIN) == (120, True)


# name: (years by which the clock is set, whether the service is started again then, the wait that is left after 60 s)
SET_CLOCKS = {
    "set back": (-10, False, REFUSAL_DELAYS[0] - 60),
    "set forward": (10, False, REFUSAL_DELAYS[0] - 60),
    "right, and a restart": (0, True, REFUSAL_DELAYS[0] - 60),
    "set back, and a restart": (-10, True, REFUSAL_DELAYS[0]),
    "set forward, and a restart": (10, True, 0),  # nobody knows how long that took
}


@pytest.mark.parametrize("name", SET_CLOCKS)
def test_a_clock_that_is_set_prolongs_no_wait(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine whose battery is empty starts in some year, and learns the time later."""
    years, restarted, left = SET_CLOCKS[name]
    wall, now = [1_800_000_000.0], [1_000.0]
    monkeypatch.setattr(time, "time", lambda: wall[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    logins = LoginBackoff(tmp_path / "logins.json")
    logins.refused(LOGIN)
    wall[0] += years * 365 * 86400 + 60
    now[0] += 60
    if restarted:
        logins = LoginBackoff(tmp_path / "logins.json")
    assert logins.wait(LOGIN) == (pytest.approx(left), left > 0)


def test_a_login_that_is_not_known_is_tried_by_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    logins = LoginBackoff()
    assert logins.wait(LOGIN) == (0, False)
    assert logins.wait(LOGIN) == (TURN_SECONDS, False)
    logins.inconclusive(LOGIN)  # the network, say
    assert logins.wait(LOGIN) == (0, False)
    now[0] += TURN_SECONDS  # it hangs: the next one tries
    assert logins.wait(LOGIN) == (0, False)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"salt": 1}', '{"salt": "x", "refused": {"a": 1}}'])
def test_a_broken_file_of_logins_keeps_nobody_out(content: str, tmp_path: Path) -> None:
    file = tmp_path / "logins.json"
    file.write_text(content)
    logins = LoginBackoff(file)
    assert logins.wait(LOGIN) == (0, False)
    logins.refused(LOGIN)
    assert LoginBackoff(file).wait(LOGIN)[1]
