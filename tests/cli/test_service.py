"""`xaiva camera|event|user|rule|login` against a real service with a real camera."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.site import Site
from tests.cli.conftest import Run, Xaiva
from tests.inference.conftest import TOKEN, ServiceProcess, running_service
from tests.support import require, rtsp, until
from tests.support.rtsp import Live, RtspServer

pytestmark = pytest.mark.camera
PASSWORD = "correct horse battery\n"


@pytest.fixture(scope="module")
def camera() -> Iterator[str]:
    """The address of a camera in which something moves."""
    require(rtsp.available(), "GStreamer's RTSP server is not here")
    with RtspServer({"cam": Live()}) as server:
        yield server.url("cam")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One service for all tests in this file."""
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def served(xaiva: Xaiva, site: Site, service: ServiceProcess) -> Xaiva:
    """The command line on a site that has the service's token in its `.env`."""
    (site.root / "site.toml").write_text(f'[service]\nurl = "{service.client.url}"\n')
    (site.root / ".env").write_text(f"XAIVA_SERVICE_TOKEN={TOKEN}\n")
    return xaiva


def good(run: Run) -> Any:
    """The document of a command that succeeded."""
    assert run.code == 0, run.out + run.err
    return run.document


def test_a_cameras_life(served: Xaiva, camera: str, tmp_path: Path) -> None:
    tested = served("camera", "test", "hall", camera)
    assert tested.code == 0
    assert "640x360 h264" in tested.out
    refused = served("camera", "test", "hall", "rtsp://127.0.0.1:9/none", "--json")
    assert refused.code == 3
    assert refused.document["test"]["cause"] == "refused"
    words = ("--fps", "4", "--zone", "all: 0,0 1,0 1,1 0,1", "--mask", "0,0 0.1,0 0.1,0.1", "--disabled")
    added = good(served("camera", "add", "hall", camera, *words, "--schedule", "daily", "--json"))["camera"]
    assert added["state"] == "stopped"
    assert served("camera", "add", "hall", camera).code == 2
    good(served("camera", "edit", "hall", "--name", "The hall", "--threshold", "0.9", "--no-masks", "--json"))
    settings = good(served("camera", "show", "hall", "--json"))["settings"]
    assert (settings["name"], settings["fps"], settings["detection"]["threshold"]) == ("The hall", 4, 0.9)
    assert [zone["name"] for zone in settings["zones"]] == ["all"]
    assert settings["masks"] == []
    good(served("camera", "edit", "hall", "--enabled", "--json"))
    until(lambda: served("camera", "list", "--json").document["cameras"][0]["state"] == "live")
    assert "The hall" in served("camera", "show", "hall").out
    picture = tmp_path / "hall.jpg"
    until(lambda: served("camera", "snapshot", "hall", str(picture)).code == 0)
    assert picture.read_bytes()[:2] == b"\xff\xd8"
    assert good(served("camera", "suspend", "hall", "--minutes", "5", "--json"))["camera"]["suspended_until"]
    assert not good(served("camera", "suspend", "hall", "--minutes", "0", "--json"))["camera"]["suspended_until"]
    assert good(served("camera", "learn", "hall", "--minutes", "5", "--json"))["camera"]["learning"]["wanted"] == 300
    assert not good(served("camera", "learn", "hall", "--minutes", "0", "--json"))["camera"]["learning"]
    assert good(served("camera", "stop", "hall", "--json"))["camera"]["state"] == "stopped"
    assert good(served("camera", "start", "hall", "--json"))["camera"]["state"] != "stopped"
    good(served("camera", "restart", "hall", "--json"))
    refused = served("camera", "remove", "hall", "--json", stdin="n\n")
    assert refused.code == refused.document["error"]["exit_code"] == 130
    good(served("camera", "remove", "hall", "--yes", "--json"))
    assert served("camera", "list", "--json").document == {"cameras": []}
    assert served("camera", "remove", "hall", "--yes").code == 2


def test_an_event_is_found_looked_at_and_taken_home(served: Xaiva, camera: str, tmp_path: Path) -> None:
    words = ("--threshold", "0.02", "--minimum-seconds", "0", "--post-roll", "0", "--longest-clip", "2")
    good(served("camera", "add", "gate", camera, *words, "--json"))
    event = until(lambda: served("event", "list", "--camera", "gate", "--json").document["events"])[-1]
    good(served("camera", "remove", "gate", "--yes", "--json"))
    name = event["id"]
    until(lambda: served("event", "show", name, "--json").document["event"]["clip"]["state"] == "done")
    assert event["type"] in served("event", "show", name).out
    assert "gate" in served("event", "list", "--since", "1h").out
    assert served("event", "list", "--until", "1h", "--json").document["events"] == []
    clip = tmp_path / "clip.mp4"
    assert good(served("event", "clip", name, str(clip), "--json"))["bytes"] == clip.stat().st_size
    assert b"ftyp" in clip.read_bytes()[:16]
    assert served("event", "clip", name, str(clip)).code == 2
    assert served("event", "clip", name, str(clip), "--force").code == 0
    assert served("event", "snapshot", name, str(tmp_path / "event.jpg")).code == 0
    assert good(served("event", "protect", name, "--json"))["event"]["protected"]
    assert not good(served("event", "protect", name, "--off", "--json"))["event"]["protected"]
    assert good(served("event", "ack", name, "--note", "seen", "--json")) == {"acknowledged": 1, "named": 1}
    assert good(served("event", "ack", name, "--json"))["acknowledged"] == 0
    event = good(served("event", "show", name, "--json"))["event"]
    assert (event["note"], event["acknowledged_by"]) == ("seen", "service")
    assert "no event with that id" in served("event", "ack", name, name[:13]).err
    good(served("event", "ack", "--all", "--yes", "--json"))
    assert served("event", "list", "--unacknowledged", "--json").document["events"] == []
    assert served("event", "ack").code == 2
    table = tmp_path / "events.csv"
    assert good(served("event", "export", str(table), "--camera", "gate", "--json"))["events"] >= 1
    assert name in table.read_text()
    assert name in [exported["id"] for exported in json.loads(served("event", "export", "-").out)["events"]]
    assert served("event", "export", str(tmp_path / "events.txt")).code == 2
    assert good(served("event", "statistics", "--json"))["days"][-1]["events"] >= 1
    assert served("event", "show", "none").code == 2
    assert served("event", "list", "--since", "soon").code == 2


def test_the_service_tells_of_its_parts_and_models(served: Xaiva) -> None:
    good(served("camera", "add", "still", "/dev/null", "--json"))
    result = served("service")
    assert result.code == 0
    assert "0 of 1 cameras live" in result.out
    for word in ("events", "analyser", "messages", "recordings", "motion"):
        assert word in result.out
    assert good(served("service", "--json"))["service"]["ledger"]["models"][0]["leases"] == 1
    good(served("camera", "remove", "still", "--yes", "--json"))


def test_users_log_in_and_are_kept_from_what_is_not_theirs(served: Xaiva, site: Site) -> None:
    assert served("user", "add", "ana", stdin="short\n").code == 2
    assert served("user", "add", "ana").code == 2
    assert good(served("user", "add", "ana", "--camera", "gate", "--json", stdin=PASSWORD))["user"]["role"] == "viewer"
    wrong = served("login", "ana", stdin="not her password\n")
    assert wrong.code == 1
    assert "name or password" in wrong.err
    assert good(served("login", "ana", "--json", stdin=PASSWORD)) == {"user": "ana", "role": "viewer"}
    session_file = site.state / "service-session.json"
    assert session_file.stat().st_mode & 0o077 == 0
    assert "horse" not in session_file.read_text()
    refused = served("user", "list")
    assert refused.code == 1
    assert served("camera", "list").code == 0
    assert served("password", stdin="not her password\nanother good one\n").code == 2
    assert good(served("password", "--json", stdin=f"{PASSWORD.strip()}\nanother good one\n"))["user"] == "ana"
    assert served("camera", "list").code == 0
    assert good(served("logout", "--json"))["user"] == "ana"
    assert served("password", stdin="a\nb\n").code == 2
    assert served("login", "ana", stdin=PASSWORD).code == 1
    assert good(served("login", "ana", "--json", stdin="another good one\n"))["user"] == "ana"
    good(served("logout", "--json"))
    changed = good(served("user", "edit", "ana", "--role", "operator", "--all-cameras", "--json"))["user"]
    assert (changed["role"], changed["cameras"]) == ("operator", None)
    assert served("user", "edit", "ana").code == 2
    assert not good(served("user", "edit", "ana", "--inactive", "--json"))["user"]["active"]
    assert served("login", "ana", stdin=PASSWORD).code == 1
    assert "ana" in served("user", "list").out
    good(served("user", "remove", "ana", "--yes", "--json"))
    assert served("user", "list", "--json").document == {"users": []}


def test_a_rule_is_added_tried_and_removed(served: Xaiva) -> None:
    words = (
        "ops@example.org",
        "http://127.0.0.1:9/hook",
        "secret=HOOK",
        "--schedule",
        "mo-fr 18:00-06:00",
        "--type",
        "person",
    )
    added = good(served("rule", "add", "night", *words, "--json"))["rule"]
    assert [channel["kind"] for channel in added["channels"]] == ["email", "webhook"]
    assert served("rule", "add", "night", "ops@example.org").code == 2
    assert "mo-fr 18:00-06:00" in served("rule", "list").out
    changed = good(
        served("rule", "edit", "night", "--to", "http://127.0.0.1:9/x", "--all-types", "--within", "60", "--json")
    )
    rule = changed["rule"]
    assert (rule["types"], rule["within"], [one["to"] for one in rule["channels"]]) == (
        [],
        60,
        ["http://127.0.0.1:9/x"],
    )
    tried = served("rule", "test", "night", "--json")
    assert tried.code == 3
    assert len(tried.document["test"]["failed"]) == 1
    assert "deliveries" in good(served("rule", "deliveries", "--json"))
    assert served("rule", "add", "bad", "nobody").code == 2
    good(served("rule", "remove", "night", "--yes", "--json"))
    assert served("rule", "list", "--json").document == {"rules": []}


def test_without_a_service_every_command_says_so(site: Site, xaiva: Xaiva) -> None:
    (site.root / "site.toml").write_text('[service]\nurl = "http://127.0.0.1:9"\n')
    for words in (("camera", "list"), ("event", "list"), ("user", "list"), ("rule", "list"), ("login", "ana")):
        result = xaiva(*words, "--json", stdin=PASSWORD)
        assert result.code == 1
        assert result.document["error"]["why"] == "nothing answers there"


def test_what_cannot_be_meant_is_refused_before_it_is_sent(served: Xaiva, site: Site) -> None:
    for words in (
        ("camera", "learn", "gate", "--minutes", "-5"),
        ("camera", "suspend", "gate", "--minutes", "nan"),
        ("event", "ack", "e1", "--note", "long " * 1000),
        ("event", "ack", "e1", "--note", "\udcff"),
        ("login", "x" * 100),
        ("login", "ana"),
    ):
        result = served(*words, "--json", stdin="hidden-word" * 50)
        assert result.code == 2, words
        assert "hidden-word" not in result.out
    assert not (site.state / "errors.log").exists()


def test_no_password_is_taken_from_the_command_line(xaiva: Xaiva) -> None:
    for words in (("login", "ana", "secret-word"), ("user", "add", "ana", "--password", "secret-word")):
        result = xaiva(*words)
        assert result.code == 2
        assert os.fspath("secret-word") not in result.out
