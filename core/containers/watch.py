"""The engine's containers kept up to date in the background: events wake it, nothing polls fast, nothing waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.containers.events import EventStream
from core.containers.listing import list_containers
from core.containers.model import Container
from core.containers.streams import Cut
from core.engine import EngineError, connect
from core.errors import XaivaError
from core.site import Site

if TYPE_CHECKING:
    import docker

HEARTBEAT_SECONDS = 5.0  # a list without an event: tells a quiet engine from one that hangs (0.5 ms a call)
SETTLE_SECONDS = 0.1  # a start is four events: one list serves them all
RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class Snapshot:
    """`containers` is None until the engine has answered once, and stays the last known while `error` is set.

    `age` is how many seconds ago the engine answered last.
    """

    containers: tuple[Container, ...] | None
    error: XaivaError | None
    age: float


class ContainerWatch:
    """Watches one engine from threads of its own. `on_change` is called from one of them, when the snapshot changed."""

    def __init__(self, site: Site, on_change: Callable[[], None] = lambda: None, timeout: float = 5) -> None:
        self._site = site
        self._on_change = on_change
        self._timeout = timeout
        self._containers: tuple[Container, ...] | None = None
        self._error: XaivaError | None = None
        self._answered = time.monotonic()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._events: EventStream | None = None
        self._thread = threading.Thread(target=self._run, name="container-watch", daemon=True)

    def __enter__(self) -> ContainerWatch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._thread.join(self._timeout + 1)

    @property
    def ended(self) -> bool:
        """Whether the watch was closed and its thread is gone."""
        return not self._thread.is_alive()

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def refresh(self) -> None:
        """Ask the engine now."""
        self._wake.set()

    def close(self) -> None:
        """Stop watching; returns at once."""
        self._stop.set()
        self._wake.set()
        with self._lock:
            if self._events is not None:
                self._events.close()

    def snapshot(self) -> Snapshot:
        """What is known now; never waits for the engine."""
        with self._lock:
            return Snapshot(self._containers, self._error, time.monotonic() - self._answered)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                client = connect(self._site, timeout=self._timeout)
                try:
                    self._watch(client)
                finally:
                    client.close()
            except XaivaError as error:
                self._note(self._containers, error)
                self._stop.wait(RETRY_SECONDS)

    def _watch(self, client: docker.DockerClient) -> None:
        """List on every event and heartbeat until the engine fails."""
        events = EventStream(client)
        with self._lock:
            self._events = events
        listener = threading.Thread(target=self._listen, args=(events,), name="container-events", daemon=True)
        listener.start()
        try:
            while not self._stop.is_set():
                self._wake.clear()
                self._note(tuple(list_containers(client)), None)
                if self._wake.wait(HEARTBEAT_SECONDS):
                    self._stop.wait(SETTLE_SECONDS)
        finally:
            events.close()

    def _listen(self, events: EventStream) -> None:
        try:
            for _ in events:
                self._wake.set()
        except (EngineError, Cut):
            self._wake.set()  # the list that follows tells what is wrong

    def _note(self, containers: tuple[Container, ...] | None, error: XaivaError | None) -> None:
        with self._lock:
            changed = containers != self._containers or str(error) != str(self._error)
            self._containers, self._error = containers, error
            if error is None:
                self._answered = time.monotonic()
        if changed:
            self._on_change()
