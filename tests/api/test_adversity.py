"""The service keeps working during floods of logins, without a database, and with many readers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from core.api_schema import CameraRequest, Event, UserRequest
from core.inference import server
from core.inference.api import events as api_events
from core.inference.api import sse
from core.inference.auth.passwords import AT_ONCE, MAX_WAITING, Passwords
from core.inference.models.motion_detector import MotionDetector
from core.service_client import ServiceClient, ServiceError
from tests.api.conftest import NOWHERE, Events
from tests.api.serving import TOKEN, Running, served
from tests.support.postgres import postgres_server

LOGIN_BEGUN = b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def test_a_flood_of_logins_holds_up_nobody_else(
    running: Running, people: dict[str, ServiceClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, release = threading.Semaphore(0), threading.Event()

    def slow(_self: Passwords, _password: str, _kept: str | None) -> bool:
        looking.release()
        return not release.wait(60)

    monkeypatch.setattr(Passwords, "verify", slow)
    flood = AT_ONCE + MAX_WAITING
    with ThreadPoolExecutor(flood) as pool:
        bodies = [{"name": f"name-{number}", "password": "x"} for number in range(flood)]
        answers = [pool.submit(httpx.post, f"{running.url}/auth/login", json=body, timeout=90) for body in bodies]
        for _ in range(AT_ONCE):
            assert looking.acquire(timeout=30)
        with httpx.Client(base_url=running.url, headers=BEARER, timeout=10) as client:
            for _ in range(60):  # more than the framework has threads
                assert client.get("/status").status_code == 200
        assert not looking.acquire(blocking=False)
        release.set()
        assert {answer.result(90).status_code for answer in answers} == {401}


def test_a_model_that_loads_for_long_holds_up_no_other_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, loaded = threading.Event(), threading.Event()

    def slow(_self: MotionDetector) -> None:
        loading.set()
        assert loaded.wait(60)

    monkeypatch.setattr(MotionDetector, "load", slow)
    with served(tmp_path) as running, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(running.client().add_camera, CameraRequest(id="slow", source=NOWHERE))
        try:
            assert loading.wait(30)
            client = running.client()
            client.add_camera(CameraRequest(id="other", source=NOWHERE, enabled=False))
            client.remove_camera("other")
        finally:
            loaded.set()
        assert waiting.result(30).id == "slow"


@pytest.mark.parametrize("begun", [b"", b"GET /health HTTP/1.1\r\nHost: ", LOGIN_BEGUN], ids=["silent", "head", "body"])
def test_idle_connections_shut_nobody_out(running: Running, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 8)
    address = httpx.URL(running.url)
    watched = running.client().stream(0.2)
    next(watched)
    with contextlib.ExitStack() as connections:
        for _ in range(20):
            connection = connections.enter_context(socket.create_connection((address.host, address.port)))
            connection.sendall(begun)
        for _ in range(5):
            assert httpx.get(f"{running.url}/health", timeout=10).status_code == 200
            assert len(running.server.server_state.connections) <= 8
        assert next(watched).cameras
    watched.close()


def test_a_reader_of_events_that_stands_still_does_not_fill_the_memory(
    running: Running, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_events, "MAX_STREAM_BACKLOG", 3)
    event = running.client().event(events.gate)
    references: list[weakref.ref[Event]] = []
    subscribers: list[Callable[[Event], None]] = []
    monkeypatch.setattr(running.service.logger, "subscribe", lambda call: (subscribers.append(call), lambda: None)[1])

    async def read() -> list[str]:
        stream = api_events._new_events(running.service, TOKEN, asyncio.Event())
        lines = [await stream.__anext__()]
        for _ in range(10):
            copy = event.model_copy()
            references.append(weakref.ref(copy))
            subscribers[0](copy)
            del copy
            await asyncio.sleep(0)
        assert sum(ref() is not None for ref in references) <= 3 + 1
        return lines + [text async for text in stream]

    assert asyncio.run(read()) == [sse.HEARTBEAT]


def test_without_its_database_the_site_still_sees_and_people_are_told(tmp_path: Path) -> None:
    with postgres_server() as postgres, served(tmp_path, database_url=postgres.new_database()) as running:
        site = running.client()
        site.add_user(UserRequest(name="anna", password=SecretStr("some long password")))
        anna = running.client(running.client("").login("anna", "some long password").access)
        assert anna.status().cameras == []
        postgres.stop()
        assert site.status().cameras == []
        assert site.health().live
        for refused in (anna.status, site.events, site.users, lambda: site.login("anna", "some long password")):
            with pytest.raises(ServiceError, match=r"[Dd]atabase") as caught:
                refused()
            assert postgres.password not in str(caught.value)
        postgres.start()
        assert anna.status().cameras == []


def test_many_who_watch_are_all_served(running: Running, events: Events, people: dict[str, ServiceClient]) -> None:
    def watch(number: int) -> int:
        client = [people["viewer"], people["gatekeeper"], running.client()][number % 3]
        stream = client.stream(interval=0.2)
        counts = [len(next(stream).cameras) for _ in range(3)]
        stream.close()
        return counts[-1]

    with ThreadPoolExecutor(24) as pool:
        counts = list(pool.map(watch, range(24)))
    assert counts == [2, 1, 2] * 8


def test_the_end_closes_the_streams(tmp_path: Path) -> None:
    ended = threading.Event()
    with served(tmp_path) as running:
        heard = threading.Event()

        def listen() -> None:
            with running.client()._transport.stream("/events/stream", {}, {}, 10) as response:
                for _line in response.iter_lines():
                    heard.set()
            ended.set()

        listener = threading.Thread(target=listen)
        listener.start()
        assert heard.wait(30)
        running.server.close_streams()
        listener.join(30)
    assert ended.is_set()
