"""Given twice, or under an unknown name: one of two values is dropped in silence, and the answer reads as fine.

It applies to every route of the service: query keys, headers of which there can be one, keys of a JSON body.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from core.api_schema import Priority
from tests.api.conftest import Events
from tests.api.conftest import events as events
from tests.api.conftest import running as running
from tests.api.serving import TOKEN, Running

Headers = list[tuple[str, str]]
BEARER: Headers = [("Authorization", f"Bearer {TOKEN}")]
JSON: Headers = [("Content-Type", "application/json")]


def ask(running: Running, method: str, path: str, headers: Headers, body: str = "") -> tuple[int, Any]:
    """Send a request with these headers, including duplicates."""
    connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=30)
    connection.putrequest(method, path)
    for name, value in headers + ([("Content-Length", str(len(body)))] if body else []):
        connection.putheader(name, value)
    connection.endheaders(body.encode())
    answer = connection.getresponse()
    if "event-stream" in answer.headers.get("Content-Type", ""):
        connection.close()
        return answer.status, None
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if answer.headers.get("Content-Type") == "application/json" else None


TWICE = {
    "two values": ("/events?camera=gate&camera=yard", "query.camera"),
    "the same value": ("/events?camera=gate&camera=gate", "query.camera"),
    "not side by side": ("/events?limit=1&camera=gate&limit=5", "query.limit"),
    "three times": ("/events?limit=1&limit=2&limit=3", "query.limit"),
    "one of them empty": ("/events?camera=gate&camera=", "query.camera"),
    "one of them without a value": ("/events?camera=gate&camera", "query.camera"),
    "one of them encoded": ("/events?limit=1&l%69mit=2", "query.limit"),
    "of one value": ("/deliveries?limit=1&limit=2", "query.limit"),
    "a stream's": ("/status/stream?interval=1&interval=2", "query.interval"),
    "a picture's": ("/cameras/gate/snapshot?width=64&width=128", "query.width"),
    "days": ("/statistics?first=2026-01-01&first=2026-01-02", "query.first"),
    "a cursor": ("/events?cursor=a&cursor=b", "query.cursor"),
    "where no key is known": ("/cameras?x=1&x=2", "query.x"),
    "a health check's": ("/health?x=1&x=2", "query.x"),
}


@pytest.mark.parametrize(("path", "name"), TWICE.values(), ids=TWICE.keys())
def test_a_query_key_comes_once(path: str, name: str, running: Running) -> None:
    status, problem = ask(running, "GET", path, BEARER)
    assert status == 422
    assert problem["what"] == name
    assert problem["why"].startswith("it was given ")
    assert problem["remedy"] == "give it once"


UNKNOWN = {
    "misspelt": ("/events?camra=gate", "query.camra", "camera"),
    "another case": ("/events?Camera=gate", "query.Camera", "camera"),
    "a list's": ("/events?camera[]=gate", "query", "camera"),
    "of one value": ("/deliveries?most=1", "query.most", "limit"),
    "a picture's": ("/cameras/gate/snapshot?height=64", "query.height", "width"),
    "a stream's": ("/status/stream?every=5", "query.every", "interval"),
    "days": ("/statistics?from=2026-01-01", "query.from", "first"),
    "where there is none": ("/cameras?state=live", "query.state", "leave it out"),
    "a token": (f"/models?{TOKEN}", "query", "leave it out"),
    "what looks like one": ("/models?" + "a" * 31, "query", "leave it out"),
    "empty": ("/models?=1", "query", "leave it out"),
}


@pytest.mark.parametrize(("path", "name", "remedy"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_a_key_that_nobody_knows_is_named_and_what_is_known_too(
    path: str, name: str, remedy: str, running: Running
) -> None:
    status, problem = ask(running, "GET", path, BEARER)
    assert (status, problem["what"]) == (422, name)
    assert remedy in problem["remedy"]
    assert TOKEN not in json.dumps(problem)


def test_health_checks_take_what_others_add(running: Running) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        assert ask(running, "GET", f"{path}?time=1785000000", [])[0] == 200


HEADERS: dict[str, tuple[str, str, Headers, str, str]] = {
    "two tokens": ("GET", "/cameras", [*BEARER, ("Authorization", "Bearer other")], "", "header.authorization"),
    "the same token": ("GET", "/cameras", BEARER * 2, "", "header.authorization"),
    "in another case": ("GET", "/cameras", [*BEARER, ("AUTHORIZATION", "x")], "", "header.authorization"),
    "two types": ("POST", "/auth/login", [*JSON, ("Content-Type", "text/plain")], "{}", "header.content-type"),
    "the same type": ("POST", "/auth/login", JSON * 2, "{}", "header.content-type"),
    "two ranges": ("GET", "/cameras", [*BEARER, ("Range", "bytes=0-1"), ("Range", "bytes=5-")], "", "header.range"),
    "of a stranger": ("GET", "/health", BEARER * 2, "", "header.authorization"),
}


@pytest.mark.parametrize(("method", "path", "headers", "body", "name"), HEADERS.values(), ids=HEADERS.keys())
def test_a_header_comes_once(method: str, path: str, headers: Headers, body: str, name: str, running: Running) -> None:
    status, problem = ask(running, method, path, headers, body)
    assert (status, problem["what"], problem["why"]) == (422, name, "it was given 2 times")
    assert TOKEN not in json.dumps(problem)


def test_headers_of_which_there_may_be_several_are_left_alone(running: Running) -> None:
    several = [("Accept", "text/html"), ("Accept", "*/*"), ("X-Forwarded-For", "a"), ("X-Forwarded-For", "b")]
    assert ask(running, "GET", "/cameras", BEARER + several)[0] == 200


BODIES = {
    "a name": ("POST", "/auth/login", '{"name": "a", "password": "secret-one", "name": "b"}', "body.name"),
    "a password": ("POST", "/auth/login", '{"name": "a", "password": "x", "password": "secret-one"}', "body.password"),
    "an id": ("POST", "/cameras", '{"id": "a", "source": "rtsp://h/1", "id": "b"}', "body.id"),
    "a source": ("POST", "/cameras", '{"id": "a", "source": "rtsp://h/1", "source": "rtsp://h/2"}', "body.source"),
    "further down": (
        "POST",
        "/cameras",
        '{"id": "a", "source": "rtsp://h/1", "detection": {"threshold": 0.1, "threshold": 0.9}}',
        "body.threshold",
    ),
    "in a list": (
        "POST",
        "/rules",
        '{"name": "r", "channels": [{"kind": "email", "to": "a@b.c", "to": "d@e.f"}]}',
        "body.to",
    ),
    "a role": ("POST", "/users", '{"password": "secret-one", "role": "viewer", "role": "admin"}', "body.role"),
    "written otherwise": ("POST", "/auth/login", '{"name": "a", "password": "x", "n\\u0061me": "b"}', "body.name"),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "name"), BODIES.values(), ids=BODIES.keys())
def test_a_key_of_a_body_comes_once(method: str, path: str, body: str, name: str, running: Running) -> None:
    status, problem = ask(running, method, path, BEARER + JSON, body)
    assert (status, problem["what"], problem["why"]) == (422, name, "it was given 2 times")
    assert "secret-one" not in json.dumps(problem)


def routes(running: Running) -> Iterator[tuple[str, str]]:
    every: list[APIRoute] = running.server.app.state.routes
    for route in every:
        path = re.sub(r"\{\w+:event_id\}", "01234567-89ab-7def-8123-456789abcdef", route.path)
        path = re.sub(r"\{(?!camera\}|name\})[^}]*\}", "1", path)
        for method in sorted(route.methods or ()):
            yield method, path.replace("{camera}", "gate").replace("{name}", "none")


def test_no_route_drops_one_in_silence(running: Running) -> None:
    requests = list(routes(running))
    assert len(requests) > 30
    for method, path in requests:
        status, problem = ask(running, method, f"{path}?x=1&x=2", BEARER)
        assert (status, problem["what"]) == (422, "query.x"), (method, path)
        if not path.startswith("/health"):
            status, problem = ask(running, method, f"{path}?x=1", BEARER)
            assert (status, problem["why"]) == (422, "there is no such key"), (method, path)


def test_what_the_document_names_is_known(running: Running, events: Events) -> None:
    document = ask(running, "GET", "/openapi.json", [])[1]
    values = {"camera": "gate", "priority": Priority.HIGH.value, "limit": "5", "interval": "1", "width": "64"}
    for path, operations in document["paths"].items():
        for parameter in operations.get("get", {}).get("parameters", []):
            if parameter["in"] == "query":
                url_path = path.replace("{camera}", "gate")
                status, problem = ask(
                    running, "GET", f"{url_path}?{parameter['name']}={values.get(parameter['name'], '')}", BEARER
                )
                assert status != 422 or problem["why"] != "there is no such key", (path, parameter["name"])
