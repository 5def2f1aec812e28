"""Requests that are too large, not text, out of range or from another origin; and the headers of responses."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.api_schema import CameraRequest, Channel, RuleRequest
from core.errors import InputError
from core.inference.api.middleware import MAX_BODY_BYTES
from tests.api.conftest import NOWHERE
from tests.api.serving import TOKEN, Running, served

BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_a_body_has_a_bound_also_when_its_length_is_not_told(running: Running) -> None:
    large = b" " * (MAX_BODY_BYTES + 1)
    for content in (large, iter([large[:1000], large])):
        answer = httpx.post(f"{running.url}/auth/login", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert str(MAX_BODY_BYTES) in answer.json()["why"]
    assert httpx.post(f"{running.url}/auth/login", content=large[:-1] + b"").status_code == 422


def test_no_part_of_an_answer_waits_for_the_caller(running: Running) -> None:
    with httpx.Client(base_url=running.url) as client:
        assert client.get("/health").status_code == 200
        for connection in running.server.server_state.connections:
            near = connection.transport.get_extra_info("socket")
            assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/login", b'{"name": "a\\u0000b", "password": "x"}'),
        ("/auth/login", b'{"name": "\\ud800", "password": "x"}'),
        ("/auth/login", b'{"name": "a", "password": ' + b"1" * 5000 + b"}"),
        ("/auth/login", b"\xff\xfe"),
        ("/auth/login", b"[" * 100_000),
        ("/auth/login", b'{"name": "a", "password": "x", "more": 1}'),
        ("/events/acknowledge", b'{"ids": ["a\\u0000b"]}'),
        ("/events/acknowledge", b'{"ids": []}'),
        ("/cameras", b'{"id": "x", "source": "rtsp://h/x", "fps": NaN}'),
        ("/cameras", b'{"id": "x", "source": "rtsp://h/x", "fps": 1e999}'),
        ("/cameras", b'{"id": "../x", "source": "rtsp://h/x"}'),
        ("/cameras", b'{"id": "x\\r\\nSet-Cookie: a", "source": "rtsp://h/x"}'),
        ("/cameras", b'{"id": "x", "source": "rtsp://h/x", "schedule": [{"start": "08:00Z"}]}'),
        ("/rules", b'{"name": "r", "channels": []}'),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(running: Running, path: str, body: bytes) -> None:
    answer = httpx.post(running.url + path, content=body, headers={**BEARER, "Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"what", "why", "remedy"}


@pytest.mark.parametrize(
    "path",
    [
        "/events?since=0001-01-01T00:00:00%2B14:00",
        "/events?until=9999-12-31T23:59:59-14:00",
        "/events?since=2026-01-01T00:00:00",
        "/events?since=0",
        "/events?limit=0",
        "/events?limit=99999999999999999999999999",
        "/events?minimum_score=nan",
        "/events?text=%00",
        "/events?camera=..%2f",
        "/events?nothing=1",
        "/statistics?first=0001-01-01&last=9999-12-31",
        "/statistics?first=9999-12-31",
        "/statistics?last=1969-01-01",
        "/statistics?first=2026-02-30",
        "/statistics?first=2026-02-02&last=2026-02-01",
        "/deliveries?limit=1001",
        "/status/stream?interval=nan",
        "/cameras/gate/snapshot?width=100000",
        "/cameras/%00",
    ],
)
def test_a_query_out_of_range_is_refused_in_words(running: Running, path: str) -> None:
    answer = httpx.get(running.url + path, headers=BEARER)
    assert answer.status_code == 422
    assert set(answer.json()) == {"what", "why", "remedy"}


def test_an_address_that_is_none_and_a_method_that_is_none(running: Running) -> None:
    missing = httpx.get(f"{running.url}/nothing")
    assert (missing.status_code, set(missing.json())) == (404, {"what", "why", "remedy"})
    wrong = httpx.delete(f"{running.url}/cameras")
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, "GET, POST")


def test_every_answer_says_its_version_and_is_kept_by_nobody(running: Running) -> None:
    for path in ("/health", "/status", "/nothing", "/openapi.json"):
        headers = httpx.get(running.url + path).headers
        assert headers["X-Xaiva-Api"] == "3"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "server" not in headers


def test_an_unforeseen_error_is_a_problem_and_its_trace_goes_to_the_log(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(running.service.pool, "status", broken)
    with caplog.at_level(logging.ERROR):
        answer = httpx.get(f"{running.url}/models", headers=BEARER)
    assert (answer.status_code, answer.json()["why"]) == (500, "an unexpected error")
    assert answer.headers["X-Xaiva-Api"] == "3"
    assert "a secret of the inside" in caplog.text


def test_what_was_sent_is_not_repeated(running: Running) -> None:
    bodies = [
        ("/cameras", {"id": "bad id", "source": NOWHERE}),
        ("/cameras", {"id": "bad", "source": "rtsp://user:hidden-word@/"}),
        ("/cameras", {"id": "bad", "source": {"hidden-word": 1}}),
        ("/users", {"name": "x", "password": "hidden-wo"}),
        ("/auth/login", {"name": "x", "password": ["hidden-word"]}),
        ("/rules", {"name": "r", "channels": [{"kind": "webhook", "to": "nothing://hidden-word"}]}),
        ("/rules", {"name": "r", "channels": [{"kind": "apprise", "to": "hidden-word"}]}),
        ("/rules", {"hidden-word": 1}),
    ]
    for path, body in bodies:
        answer = httpx.post(running.url + path, json=body, headers=BEARER)
        assert answer.status_code == 422
        assert "hidden-wo" not in answer.text, (path, answer.text)


def test_a_login_in_an_address_is_shown_to_nobody_and_survives_an_edit(running: Running) -> None:
    client = running.client()
    shown = client.camera_settings("gate")
    assert "hidden-word" not in shown.source
    client.update_camera(shown.model_copy(update={"fps": 3}))
    stored = running.service.cameras.get("gate").request
    assert (stored.source, stored.fps) == (NOWHERE, 3)
    assert not client.test_camera(shown).ok
    with pytest.raises(InputError, match="use the same id"):
        client._transport.send("PUT", "/cameras/gate/settings", shown.model_copy(update={"id": "yard"}))
    with pytest.raises(InputError, match="in place of a secret"):  # another camera gets no login
        client.add_camera(CameraRequest(id="fresh", source=shown.source))
    channel = Channel.model_validate({"kind": "webhook", "to": "https://user:hidden-word@10.0.0.1/hook"})
    rule = client.add_rule(RuleRequest(name="door", channels=(channel,)))
    assert "hidden-word" not in rule.model_dump_json()
    with pytest.raises(InputError, match="this name is taken"):
        client.add_rule(RuleRequest(name="door", channels=(channel,)))
    client.update_rule(RuleRequest(name="door", channels=rule.channels, within=60))
    assert running.service.rules.get_with_secrets("door").channels == (channel,)
    client.remove_rule("door")


def test_cameras_are_started_and_stopped(running: Running) -> None:
    client = running.client()
    assert client.stop_camera("yard").state.value == "stopped"
    assert client.start_camera("yard").state.value != "stopped"
    assert client.restart_camera("yard").state.value != "stopped"
    assert client.suspend("yard", 5).suspended_until is not None
    assert client.suspend("yard", 0).suspended_until is None
    with pytest.raises(InputError, match="not live"):
        client.snapshot("yard")


def test_learning_is_refused_while_there_is_nothing_to_see_or_it_goes_on_already(running: Running) -> None:
    client = running.client()
    client.stop_camera("yard")
    refused = httpx.post(f"{running.url}/cameras/yard/learn", json={"minutes": 1}, headers=BEARER)
    assert (refused.status_code, refused.json()["remedy"]) == (409, "start it first: xaiva camera start yard")
    client.start_camera("yard")
    learning = client.learn("yard", 1).learning
    assert learning is not None
    assert learning.wanted == 60
    with pytest.raises(InputError, match="already"):
        client.learn("yard", 1)
    assert client.learn("yard", 0).learning is None


@pytest.mark.parametrize("detection", [{"detector": "memory"}, {"detector": "onnx"}, {"detector": "nothing"}])
def test_a_detector_that_cannot_score_is_refused_in_words_or_shown(running: Running, detection: dict[str, str]) -> None:
    body = {"id": "other", "source": NOWHERE, "detection": detection}
    answer = httpx.post(f"{running.url}/cameras", json=body, headers=BEARER)
    assert answer.status_code in (201, 409, 422), answer.text
    httpx.delete(f"{running.url}/cameras/other", headers=BEARER)


def test_metrics_have_cameras_as_their_only_label(running: Running) -> None:
    answer = httpx.get(f"{running.url}/metrics", headers=BEARER)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(answer.text))
    names = {family.name for family in families}
    assert {"xaiva_uptime_seconds", "xaiva_events_logged", "xaiva_camera_live", "xaiva_camera_frames"} <= names
    labels = {label for family in families for sample in family.samples for label in sample.labels.items()}
    assert labels == {("camera", "gate"), ("camera", "yard")}
    assert "127.0.0.1" not in answer.text


def test_other_origins_are_shut_out(running: Running) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in httpx.options(f"{running.url}/cameras", headers=headers).headers
    answer = httpx.get(f"{running.url}/health", headers=headers)
    assert "access-control-allow-origin" not in answer.headers


@pytest.fixture(scope="module")
def open_to_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("cors"), cors_origins="https://wall.example, https://desk.example") as running:
        yield running


def test_but_for_those_that_are_named(open_to_one: Running) -> None:
    for origin, allowed in (("https://desk.example", True), ("https://evil.example", False)):
        headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        response = httpx.options(f"{open_to_one.url}/cameras", headers=headers)
        assert (response.headers.get("access-control-allow-origin") == origin) is allowed
        assert "access-control-allow-credentials" not in response.headers


def test_the_log_holds_no_token_and_no_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), served(tmp_path) as running:
        client = running.client()
        client.status()
        with pytest.raises(InputError):
            client.camera("none")
        httpx.get(f"{running.url}/status?token=hidden-word")
        httpx.post(f"{running.url}/auth/login", json={"name": "x", "password": "hidden-word"})
    ours = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpx"))
    assert TOKEN not in ours
    assert json.dumps("hidden-word") not in ours
    assert "hidden-word" not in "\n".join(one.getMessage() for one in caplog.records if one.name.startswith("core."))
