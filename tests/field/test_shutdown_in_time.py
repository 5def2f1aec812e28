"""A promise of seconds that is the sum of waits one after another: an engine kills what has not ended after 10 s.

It applies to every part of the service that may hang at its end: the camera, the webhook, the mail server, the
analyser, the database, a client that holds a stream; each alone, and all at once. What was acknowledged stays.
"""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.api_schema import CameraRequest, Channel, ChannelKind, Event, RuleRequest
from core.inference import server, service
from core.inference.events.ids import new_id
from core.inference.service import InferenceService
from core.inference.settings import ServiceSettings
from tests.api.serving import TOKEN, Running, served
from tests.support import until


def test_all_steps_together_fit_into_what_an_engine_grants() -> None:
    steps = (service.CAMERAS_SECONDS, service.EVENTS_SECONDS, service.SAVING_SECONDS, service.CLOSING_SECONDS)
    assert sum(steps) == service.STOP_SECONDS
    assert server.GRACE_SECONDS + service.STOP_SECONDS < 10


def test_the_parts_of_a_step_end_side_by_side(caplog: pytest.LogCaptureFixture) -> None:
    meet = threading.Barrier(3)  # one after another they would wait for each other
    service._stop_together(time.monotonic() + 60, {name: lambda: meet.wait(60) for name in "abc"})
    assert not caplog.records
    assert not meet.broken


def test_what_hangs_is_left_behind_and_named(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()
    service._stop_together(0.0, {"the cameras": lambda: release.wait(60)})
    release.set()
    assert "the cameras did not stop in time" in caplog.text


# -- parts that hang at their outermost edge ---


class Silent:
    """A server that accepts, and says nothing."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def accepted(self) -> int:
        return len(self._connections)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._connections.append(self._listener.accept()[0])

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for one in [self._listener, *self._connections]:
            one.close()


class Site:
    """A service at work; what hangs around it is let go at the end."""

    def __init__(self, running: Running, silent: Silent, stack: contextlib.ExitStack) -> None:
        self.running = running
        self.silent = silent
        self.stack = stack
        self.acknowledged: list[str] = []

    def event(self, **fields: Any) -> Event:
        """An event that the service took: it is on disk."""
        now = datetime.now(timezone.utc)
        event = Event(id=new_id(), camera="gate", type="motion", started=now, decided=now, score=0.9, **fields)
        self.running.service.logger.log(event)
        self.acknowledged.append(event.id)
        return event

    def told(self, channel: Channel) -> None:
        """A message to somebody who never answers is under way."""
        name, before = channel.kind.value, self.silent.accepted
        self.running.service.rules.add(RuleRequest(name=name, channels=(channel,), within=0))
        self.running.service.notifier.notify(self.event())
        until(lambda: self.silent.accepted > before)


def webhook(site: Site) -> None:
    site.told(Channel(kind=ChannelKind.WEBHOOK, to=f"http://127.0.0.1:{site.silent.port}/"))


def mail(site: Site) -> None:
    site.told(Channel(kind=ChannelKind.EMAIL, to="ops@example.org"))


def camera(site: Site) -> None:
    source = f"rtsp://127.0.0.1:{site.silent.port}/x"
    site.running.service.add_camera(CameraRequest(id="hanging", source=source, timeout=60))
    until(lambda: site.running.service.camera_status("hanging").state.value == "connecting")


def analyser(site: Site) -> None:
    from core.inference.models.analysis import Question

    site.running.service.analyser.ask(Question(site.event(), (), None))
    until(lambda: site.running.service.analyser.status().state == "busy")


def database(site: Site) -> None:
    file = site.running.service.database.file
    assert file is not None
    site.running.service.logger.flush(60)
    lock = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    site.stack.callback(lock.close)
    lock.execute("BEGIN IMMEDIATE")
    site.event()
    until(lambda: site.running.service.logger.status().waiting == 1)


def stream(site: Site) -> None:
    client = site.stack.enter_context(httpx.Client())
    url = f"{site.running.url}/status/stream"
    answer = site.stack.enter_context(client.stream("GET", url, headers={"Authorization": f"Bearer {TOKEN}"}))
    assert next(answer.iter_raw())


def everything(site: Site) -> None:
    for one in (webhook, mail, camera, analyser, stream, database):
        one(site)


HANGING = {one.__name__: one for one in (webhook, mail, camera, analyser, database, stream, everything)}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the promise: what hangs is left behind that much earlier, and nothing may depend on its end."""
    for name in ("CAMERAS_SECONDS", "EVENTS_SECONDS", "SAVING_SECONDS", "CLOSING_SECONDS"):
        monkeypatch.setattr(service, name, getattr(service, name) / 10)


@pytest.fixture
def silent() -> Iterator[Silent]:
    with contextlib.closing(Silent()) as one:
        yield one


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("hang", HANGING.values(), ids=HANGING.keys())
def test_it_ends_while_that_still_hangs_and_loses_nothing(
    hang: Callable[[Site], None], silent: Silent, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        settings: dict[str, Any] = {
            "smtp_url": f"smtp://127.0.0.1:{silent.port}",
            "analyser": "openai",
            "analyser_url": f"http://127.0.0.1:{silent.port}/v1",
            "analyser_model": "m",
        }
        with served(tmp_path, **settings) as running:  # at its end, what hangs has not been let go
            site = Site(running, silent, stack)
            hang(site)
            last = site.event()
    again = InferenceService(ServiceSettings(data=tmp_path, service_token=TOKEN))
    again.logger.start()
    try:
        assert again.logger.flush(60)
        assert all(again.events.get(event) for event in [*site.acknowledged, last.id])
    finally:
        again.stop()
