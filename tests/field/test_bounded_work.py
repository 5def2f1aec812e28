"""Unbounded work in a shared pool: calls that hang take the threads of everything else, the health check's too.

It applies wherever somebody outside starts work that may hang: requests (connection tests, downloads, logins, changes,
queries, streams), and what is still under way when the service ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette._utils import is_async_callable

from core.api_schema import CameraRequest, Channel, ChannelKind, RuleRequest, UserRequest
from core.files import read_regular
from core.inference import server
from core.inference.api import jobs as api_jobs
from core.inference.api import media as api_media
from core.inference.api import sockets, sse, threads
from core.inference.api.storage import OPEN_TRANSFERS
from core.inference.auth import passwords
from core.inference.auth.passwords import Passwords
from core.inference.bulkhead import Bulkhead, TooManyRequests
from core.inference.cameras import manager
from core.inference.database import engine
from core.inference.events.ids import new_id
from core.inference.notifications import channels, notifier
from core.service_client import ServiceError
from tests.api.conftest import Events
from tests.api.conftest import events as events
from tests.api.conftest import running as running
from tests.api.serving import TOKEN, Running
from tests.inference.conftest import serve as serve
from tests.support import until
from tests.support.service import ServiceProcess

BEARER = {"Authorization": f"Bearer {TOKEN}"}
REMEMBERED = "some long password"

# -- a flood of one kind of work ---


class Flood:
    """Requests that are under way at the same time, each over a connection of its own."""

    def __init__(self, running: Running, stack: contextlib.ExitStack) -> None:
        self.running = running
        self.stack = stack
        self._waiting: list[http.client.HTTPConnection] = []

    def send(self, count: int, method: str, path: str, body: Any = None, headers: dict[str, str] = BEARER) -> None:
        """Send so many and read no answer."""
        for _ in range(count):
            url = httpx.URL(self.running.url)
            connection = http.client.HTTPConnection(url.host, url.port, timeout=30)
            self.stack.callback(connection.close)
            text = None if body is None else json.dumps(body(len(self._waiting)) if callable(body) else body)
            connection.request(method, path, text, {**headers, "Content-Type": "application/json"})
            self._waiting.append(connection)

    def refused(self, count: int) -> list[tuple[str, Any]]:
        """`Retry-After` and the problem of the first `count` refusals; who got in may have an answer, too."""
        refusals: list[tuple[str, Any]] = []

        def take() -> int:
            ready = select.select([connection.sock for connection in self._waiting], [], [], 0)[0]
            for one in [one for one in self._waiting if one.sock in ready]:
                self._waiting.remove(one)
                answer = one.getresponse()
                if answer.status == 429:
                    refusals.append((answer.headers["Retry-After"], json.loads(answer.read())))
            return len(refusals)

        until(take, lambda taken: taken >= count)
        return refusals


def silent_port(stack: contextlib.ExitStack) -> int:
    """It accepts, and says nothing."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
    return int(listener.getsockname()[1])


def full_port(stack: contextlib.ExitStack) -> int:
    """The kernel drops who knocks: the queue of the listener is full."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(3):
        knocking = stack.enter_context(socket.socket())
        knocking.setblocking(False)
        knocking.connect_ex(listener.getsockname())
    return int(listener.getsockname()[1])


def connection_tests(port: Callable[[contextlib.ExitStack], int], scheme: str) -> Callable[[Flood, Events, Any], int]:
    def begin(flood: Flood, _events: Events, _patch: object) -> int:
        source = f"{scheme}://127.0.0.1:{port(flood.stack)}/none"
        flood.send(45, "POST", "/connection-test", {"id": "new", "source": source, "timeout": 30})
        return 45 - manager.MAX_CONNECTION_TESTS

    return begin


def rule_tests(flood: Flood, _events: Events, patch: pytest.MonkeyPatch) -> int:
    patch.setattr(channels, "WEBHOOK_SECONDS", 60)  # a busy machine takes its time to send the flood
    patch.setattr(notifier, "TEST_SECONDS", 60)
    hook = Channel(kind=ChannelKind.WEBHOOK, to=f"http://127.0.0.1:{silent_port(flood.stack)}/")
    with contextlib.suppress(ServiceError):
        flood.running.client().add_rule(RuleRequest(name="silent", channels=(hook,)))
    flood.send(45, "POST", "/rules/silent/test")
    return 45 - notifier.TESTS_AT_ONCE


def downloads(flood: Flood, events: Events, patch: pytest.MonkeyPatch) -> int:
    path = flood.running.service.media.clip_path(events.gate)
    size = path.stat().st_size
    os.truncate(path, 64 << 20)  # more than the sockets hold, so that they all stand still
    flood.stack.callback(os.truncate, path, size)
    flood.send(100, "GET", f"/events/{events.gate}/clip")
    return 100 - api_media.OPEN_DOWNLOADS.limit


def hung_disk(flood: Flood, events: Events, patch: pytest.MonkeyPatch) -> int:
    """A mount that hangs can only be played: what reads it does not come back."""
    release = threading.Event()
    flood.stack.callback(release.set)
    patch.setattr(api_media, "read_regular", lambda path: release.wait(60) and read_regular(path))
    flood.send(60, "GET", f"/events/{events.gate}/snapshot")
    return 60 - threads.FILES.at_once - threads.FILES.waiting


def hung_storage(flood: Flood, _events: Events, patch: pytest.MonkeyPatch) -> int:
    release = threading.Event()
    flood.stack.callback(release.set)
    storage = flood.running.service.storage
    list_page = storage.list_page
    patch.setattr(storage, "list_page", lambda *words, **options: (release.wait(60), list_page(*words, **options))[1])
    flood.send(60, "GET", "/storage/objects")
    return 60 - threads.OBJECT_STORAGE.at_once - threads.OBJECT_STORAGE.waiting


def locked_database(flood: Flood, events: Events, patch: pytest.MonkeyPatch) -> int:
    patch.setattr(engine, "BUSY_SECONDS", 60)  # a busy machine takes its time to send the flood
    holder = flood.stack.enter_context(contextlib.closing(sqlite3.connect(flood.running.service.database.file or "")))
    holder.execute("BEGIN IMMEDIATE")
    flood.send(80, "POST", "/events/acknowledge", {"ids": [events.gate]})
    return 80 - threads.DATABASE.at_once - threads.DATABASE.waiting


def hung_database(flood: Flood, _events: Events, patch: pytest.MonkeyPatch) -> int:
    client = flood.running.client()
    with contextlib.suppress(ServiceError):
        client.add_user(UserRequest(name="reader", password=SecretStr(REMEMBERED)))
    bearer = {"Authorization": f"Bearer {flood.running.client('').login('reader', REMEMBERED).access}"}
    release = threading.Event()
    flood.stack.callback(release.set)
    database = flood.running.service.database
    read = database.read
    patch.setattr(database, "read", lambda: (release.wait(60), read())[1])
    flood.send(80, "GET", "/cameras", headers=bearer)
    return 80 - threads.DATABASE.at_once - threads.DATABASE.waiting


def hung_hashes(flood: Flood, _events: Events, patch: pytest.MonkeyPatch) -> int:
    release = threading.Event()
    flood.stack.callback(release.set)
    patch.setattr(Passwords, "verify", lambda *_: not release.wait(60))
    flood.send(60, "POST", "/auth/login", lambda number: {"name": f"name-{number}", "password": "x"}, headers={})
    return 60 - passwords.AT_ONCE - passwords.MAX_WAITING


def models_that_load(flood: Flood, _events: Events, patch: pytest.MonkeyPatch) -> int:
    release = threading.Event()
    flood.stack.callback(release.set)
    pool = flood.running.service.pool
    lease = pool.lease
    patch.setattr(pool, "lease", lambda *of: (release.wait(60), lease(*of))[1])
    camera = "loads" + new_id()[:8]
    flood.send(60, "POST", "/cameras", {"id": camera, "source": "rtsp://127.0.0.1:9/none"})
    return 60 - threads.CHANGES.at_once - threads.CHANGES.waiting


def streams(flood: Flood, _events: Events, _patch: object) -> int:
    flood.send(sse.OPEN_STREAMS.limit, "GET", "/events/stream")
    until(lambda: sse.OPEN_STREAMS._open, lambda number: number == sse.OPEN_STREAMS.limit)
    flood.send(20, "GET", "/status/stream")
    return 20


FLOODS: dict[str, Callable[[Flood, Events, Any], int]] = {
    "connection tests to a port that accepts and is silent": connection_tests(silent_port, "rtsp"),
    "connection tests to a silent web server": connection_tests(silent_port, "http"),
    "connection tests to a silent port of MPEG-TS": connection_tests(silent_port, "tcp"),
    "connection tests to a port that drops who knocks": connection_tests(full_port, "rtsp"),
    "tests of a rule whose receiver is silent": rule_tests,
    "downloads that nobody reads": downloads,
    "pictures on a mount that hangs": hung_disk,
    "listings of an object storage that hangs": hung_storage,
    "writes into a locked database": locked_database,
    "queries to a database that hangs": hung_database,
    "logins whose hashes hang": hung_hashes,
    "cameras whose model loads for long": models_that_load,
    "streams": streams,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_health_answers_while_others_wait_and_what_is_too_much_is_refused(
    running: Running, events: Events, monkeypatch: pytest.MonkeyPatch, flood: Callable[[Flood, Events, Any], int]
) -> None:
    with contextlib.ExitStack() as stack:
        begun = Flood(running, stack)
        too_many = flood(begun, events, monkeypatch)
        for path in ("/health/live", "/health/ready", "/health"):
            assert httpx.get(running.url + path, timeout=20).status_code == 200
        for retry_after, problem in begun.refused(too_many):
            assert int(retry_after) >= 1
            assert problem["remedy"] == f"try again in {retry_after} s"
        # Everything else goes on, too: a camera is looked at while it is not what is slow.
        assert httpx.get(f"{running.url}/cameras", headers=BEARER, timeout=20).status_code == 200


def test_all_that_may_wait_leaves_room_for_a_health_check() -> None:
    bulkheads = sum(bulkhead.at_once + bulkhead.waiting for bulkhead in threads.BULKHEADS)
    logins = passwords.AT_ONCE + passwords.MAX_WAITING
    responses = (
        sse.OPEN_STREAMS,
        sockets.WAITING_SOCKETS,
        api_jobs.OPEN_EXPORTS,
        api_media.OPEN_DOWNLOADS,
        OPEN_TRANSFERS,
    )
    assert bulkheads + logins + sum(one.limit for one in responses) < server.MAX_CONNECTIONS


def test_requests_that_never_end_keep_no_health_check_out(running: Running) -> None:
    address = httpx.URL(running.url)
    head = f"POST /connection-test HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99\r\n\r\n{{"
    with contextlib.ExitStack() as held:
        for _ in range(3):
            for _ in range(300):
                connection = held.enter_context(socket.create_connection((address.host, address.port)))
                connection.sendall(head.encode())
            assert httpx.get(f"{running.url}/health/live", timeout=20).status_code == 200


def test_with_all_connections_busy_the_next_is_refused(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 0)
    monkeypatch.setattr(server._Connection, "is_idle", False)
    assert httpx.get(f"{running.url}/health/live", timeout=20).status_code == 503


def test_no_route_runs_in_the_pool_that_all_share(running: Running) -> None:
    def calls(dependant: Dependant) -> Iterator[Any]:
        yield dependant.call
        for one in dependant.dependencies:
            yield from calls(one)

    routes: list[APIRoute] = running.server.app.state.routes
    shared = [
        f"{route.path}: {call}" for route in routes for call in calls(route.dependant) if not is_async_callable(call)
    ]
    assert routes
    assert shared == []


def test_a_full_bulkhead_is_a_plain_message_of_the_client(running: Running) -> None:
    with contextlib.ExitStack() as stack:
        source = f"rtsp://127.0.0.1:{silent_port(stack)}/none"
        flood = Flood(running, stack)
        flood.send(45, "POST", "/connection-test", {"id": "new", "source": source, "timeout": 30})
        flood.refused(45 - manager.MAX_CONNECTION_TESTS)
        with pytest.raises(ServiceError) as refusal:
            running.client().test_camera(CameraRequest(id="new", source=source))
        assert refusal.value.what == "Connection tests"
        assert refusal.value.why == "4 are running: no more are accepted"
        assert refusal.value.remedy == "try again in 5 s"


def test_a_connection_test_that_hangs_is_given_up_and_keeps_its_place(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hung mount, driver or name server can only be played: the attempt does not come back."""
    release, cameras = threading.Event(), running.service.cameras
    monkeypatch.setattr(cameras, "_tests", Bulkhead("Connection tests", 1))
    monkeypatch.setattr(manager, "run_connection_test", lambda _request: release.wait(60))
    monkeypatch.setattr(manager, "TEST_TIMEOUTS", 0)
    monkeypatch.setattr(manager, "TEST_GRACE", 0.1)
    request = CameraRequest(id="new", source="/mnt/hangs/clip.mp4")
    tried = cameras.test(request)
    assert (tried.ok, tried.cause) == (False, "timeout")
    assert tried.reason.startswith("connecting hung and was abandoned after")
    with pytest.raises(TooManyRequests):
        cameras.test(request)
    release.set()


# -- the end ---


def test_sigterm_ends_a_service_in_which_everything_hangs(serve: Callable[..., ServiceProcess], tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        silent = silent_port(stack)
        os.mkfifo(tmp_path / "pipe")
        ending = serve("--camera", f"pipe={tmp_path / 'pipe'}", "--camera", f"silent=rtsp://127.0.0.1:{silent}/x")
        ending.ready()
        hook = Channel(kind=ChannelKind.WEBHOOK, to=f"http://127.0.0.1:{silent}/")
        ending.client.add_rule(RuleRequest(name="silent", channels=(hook,)))
        flood = Flood(Running(None, None, ending.client.url), stack)  # type: ignore[arg-type]  # it is not in here
        for source in (f"rtsp://127.0.0.1:{silent}/x", str(tmp_path / "pipe")):
            flood.send(8, "POST", "/connection-test", {"id": "new", "source": source, "timeout": 60})
        flood.send(4, "POST", "/rules/silent/test")
        flood.send(4, "GET", "/status/stream")
        until(lambda: ending.client.health().live)
        ending.process.send_signal(signal.SIGTERM)
        assert ending.process.wait(60) == 0  # what hangs would take two minutes, or has no end
        assert "Traceback" not in ending.log.read_text()
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
