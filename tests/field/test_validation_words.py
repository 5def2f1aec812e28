"""A wrong value is refused in one way everywhere: the field, what was given, what it should be; no words of a library.

It applies to the API's answers, forms and the command line (which build the same requests), site.toml, the service's
variables, and files beside models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import InputError
from core.inference.given import parse_cameras
from core.inference.schemas import CameraRequest, EventQuery, RuleRequest, UserRequest
from core.inference.settings import read_settings
from core.service_client import notation
from core.site import Site
from tests.api.serving import TOKEN, served
from tests.cli.conftest import Xaiva, small_site, xaiva  # noqa: F401 - fixtures

RAW = ("Input should", "valid integer", "unable to parse", "should match pattern", "String should", "Value error", "^[")
CAMERA = {"id": "gate", "source": "rtsp://u:pw-hidden@10.0.0.1/x"}

REQUESTS: list[tuple[type[Any], dict[str, Any], str, str]] = [  # kind, fields, the field that is named, why
    (CameraRequest, {**CAMERA, "fps": "many"}, "fps", "“many” is not a number"),
    (CameraRequest, {**CAMERA, "fps": -1}, "fps", "it must be"),
    (CameraRequest, {**CAMERA, "id": "gate 1"}, "id", "“gate 1” is not possible here: write letters, digits"),
    (CameraRequest, {**CAMERA, "enabled": "perhaps"}, "enabled", "“perhaps” is not true or false"),
    (CameraRequest, {"id": "gate"}, "source", "it is missing"),
    (CameraRequest, {**CAMERA, "colour": 1}, "colour", "there is no such field"),
    (CameraRequest, {**CAMERA, "zones": "all"}, "zones", "“all” is not a list"),
    (EventQuery, {"since": "yesterdayish"}, "since", "write it as 2026-12-31T23:59:59Z"),
    (EventQuery, {"since": "2026-13-01T00:00:00Z"}, "since", "is not a date and time"),
    (EventQuery, {"limit": "ten"}, "limit", "“ten” is not a whole number"),
    (EventQuery, {"limit": 0}, "limit", "it must be"),
    (RuleRequest, {"name": "a", "channels": []}, "channels", "it has fewer than 1 entries"),
    (UserRequest, {"name": "ana", "password": "short-one"}, "password", "it is shorter than 10 characters"),
    (UserRequest, {"name": "ana", "password": 12345678901}, "password", "is not a text"),
]


@pytest.mark.parametrize(("kind", "fields", "field", "why"), REQUESTS, ids=range(len(REQUESTS)))
def test_a_request(kind: type[Any], fields: dict[str, Any], field: str, why: str) -> None:
    with pytest.raises(InputError) as refused:
        notation.build(kind, fields)
    assert field in refused.value.what
    assert why in refused.value.why
    assert not any(raw in str(refused.value) for raw in (*RAW, "pw-hidden", "short-one"))


def test_the_api_says_it_in_the_same_words(tmp_path: Path) -> None:
    import httpx

    asked = [
        ("GET", "/events?limit=ten", None, "limit", "“ten” is not a whole number"),
        ("GET", "/events?since=never", None, "since", "write it as 2026-12-31T23:59:59Z"),
        ("POST", "/cameras", {**CAMERA, "id": "a b"}, "id", "“a b” is not possible here"),
        ("POST", "/cameras", {**CAMERA, "fps": "x"}, "fps", "“x” is not a number"),
        ("POST", "/users", {"name": "ana", "password": "short-one"}, "password", "it is shorter than 10 characters"),
        ("POST", "/cameras/gate/learn", {"minutes": None}, "minutes", "null is not a number"),
    ]
    with served(tmp_path / "service") as running:
        for method, path, body, field, why in asked:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            answer = httpx.request(method, running.url + path, json=body, headers=headers).json()
            assert field in answer["what"], answer
            assert why in answer["why"], answer
            assert not any(raw in str(answer) for raw in (*RAW, "short-one"))


@pytest.mark.parametrize(
    ("text", "field", "why"),
    [
        ("[sync]\nretries = 'many'", "sync.retries", "“many” is not a whole number"),
        ("[sync]\nconnections = 0", "sync.connections", "it must be"),
        ("[syncs]\na = 1", "syncs", "there is no such field"),
        ("[service]\nurl = 5", "service.url", "is not a text"),
        ("sync = 5", "sync", "5 is not an object"),
    ],
)
def test_site_toml(tmp_path: Path, text: str, field: str, why: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(InputError) as refused:
        Site.open(tmp_path)
    assert refused.value.what.endswith(field)
    assert why in refused.value.why


def test_a_variable_of_the_service(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_settings({"XAIVA_MAX_CAMERAS": "many"}, tmp_path)
    assert (refused.value.what, refused.value.why) == ("XAIVA_MAX_CAMERAS", "“many” is not a whole number")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("camera", "learn", "gate", "--minutes", "x"), "is not a number"),
        (("event", "list", "--limit", "x"), "is not a whole number"),
        (("event", "list", "--since", "x"), "write 30m, 2h, 7d"),
        (("camera", "add", "a b", "rtsp://h/x"), "is not possible here: write letters, digits"),
    ],
)
def test_an_option(xaiva: Xaiva, words: tuple[str, ...], why: str) -> None:  # noqa: F811
    said = xaiva(*words)
    assert said.code == 2
    assert why in said.err
    assert not any(raw in said.err for raw in (*RAW, "is not a valid"))


def test_cameras_of_the_environment() -> None:
    with pytest.raises(InputError, match="“a b” is not possible here") as refused:
        parse_cameras(["a b=rtsp://h/x"], "XAIVA_CAMERAS")
    assert not any(raw in str(refused.value) for raw in RAW)
