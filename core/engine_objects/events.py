"""The engine's events: what was created, started, removed and so on, as a stream that survives a lost connection."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from core.containers.engine_stream import EngineStream, StreamCut, StreamIdle
from core.containers.model import FrozenModel
from core.engine import EngineError
from core.redaction import redact_document, redact_text
from core.terminal_text import strip_controls

if TYPE_CHECKING:
    import docker

RECONNECT_PAUSE = 1.0  # seconds
KEPT_EVENTS = 256  # by the engine, which can repeat no others
_WHAT = "Events of the engine"
_TOLD_ATTRIBUTES = ("signal", "container", "oldName", "destination", "image")
_ID = re.compile(r"(?:sha256:)?([0-9a-f]{12})[0-9a-f]{52}")
_ROUTINE_ACTIONS = ("exec_create", "exec_start", "exec_die", "exec_detach", "top")


class EngineEvent(FrozenModel):
    """One event, in the engine's words."""

    time: float
    """Unix time in seconds."""
    type: str
    """What kind of object it is about, such as `container` or `image`."""
    action: str
    """What happened, such as `start`, `die` or `health_status: unhealthy`."""
    id: str = ""
    name: str = ""
    """The object's name, its short id if it has none."""
    exit_code: int | None = None
    """Of a container, or of a command in it, that has ended."""
    attributes: dict[str, str] = {}
    """What else the engine says, with secrets hidden."""

    @property
    def details(self) -> str:
        """The attributes that people look for, such as `exit code 137` or `container b0f76918920e`."""
        words = [f"exit code {self.exit_code}"] if self.exit_code is not None else []
        words += [f"{name} {_shorten(self.attributes[name])}" for name in _TOLD_ATTRIBUTES if self.attributes.get(name)]
        return ", ".join(words)

    @property
    def is_routine(self) -> bool:
        """Whether it is about a command run in a container (a health check causes three) or a look at its processes."""
        return self.action.partition(":")[0] in _ROUTINE_ACTIONS


class EventStream:
    """Iterates over `EngineEvent`s, for one reader; any thread may call `close`.

    When the connection is lost, it reconnects and continues with the next event, for as long as it is read. The
    engine keeps its last 256 events for that; they are lost when it restarts.
    """

    def __init__(
        self,
        connect: Callable[[], docker.DockerClient],
        *,
        since: float | None = None,
        state_changed: Callable[[EngineError | None], object] = lambda _: None,
    ) -> None:
        """`since` is a Unix time, None for now. `state_changed` is called with the reason when no events can come, and
        with None when they come again.
        """
        self._connect = connect
        self._state_changed = state_changed
        self._since = None if since is None else f"{since:.9f}"
        self._newest = 0  # nanoseconds of the newest event
        self._seen: deque[bytes] = deque(maxlen=KEPT_EVENTS)
        self._closed = threading.Event()
        self._stream: EngineStream | None = None

    def close(self) -> None:
        """End the iteration at once, even while it waits for an event."""
        self._closed.set()
        if (stream := self._stream) is not None:
            stream.close()

    def __iter__(self) -> Iterator[EngineEvent]:
        lost = False
        while not self._closed.is_set():
            try:
                with closing(self._connect()) as client:
                    self._stream = EngineStream(client, _WHAT, "/events", {})
                    if self._closed.is_set():
                        return
                    chunks = self._stream.chunks(since=self._position())
                    self._since = self._since or f"{time.time():.9f}"  # what happens from now on is not missed
                    if lost:
                        self._state_changed(None)
                        lost = False
                    yield from self._events(chunks)
                problem = EngineError(_WHAT, "the engine closed the connection", "")
            except StreamIdle:
                continue
            except StreamCut:
                problem = EngineError(_WHAT, "the connection to the engine was lost", "")
            except EngineError as error:
                problem = error
            if not self._closed.is_set():
                lost = True
                self._state_changed(problem)
                self._closed.wait(RECONNECT_PAUSE)

    def _position(self) -> str | None:
        """From when on to ask for events: the newest one's time, which comes again and is then left out."""
        return f"{self._newest // 10**9}.{self._newest % 10**9:09d}" if self._newest else self._since

    def _events(self, chunks: Iterator[bytes]) -> Iterator[EngineEvent]:
        buffer = b""
        for chunk in chunks:
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                if line.strip() and self._is_new(line):
                    yield parse_event(line)

    def _is_new(self, line: bytes) -> bool:
        """Whether an event was not read before; notes it. Events that happen at once come in any order."""
        if line in self._seen:
            return False
        self._seen.append(line)
        self._newest = max(self._newest, _nanoseconds(_fields(line)))
        return True


def parse_event(line: bytes) -> EngineEvent:
    """One event from the engine's line; one that cannot be read has its text as its action."""
    fields = _fields(line)
    actor = fields.get("Actor")
    actor = actor if isinstance(actor, dict) else {}
    attributes = actor.get("Attributes")
    attributes = {str(k): str(v) for k, v in attributes.items()} if isinstance(attributes, dict) else {}
    identity = str(actor.get("ID") or fields.get("id") or "")
    code = attributes.get("exitCode", "")
    action = str(fields.get("Action") or fields.get("status") or "") or line.decode("utf-8", "replace")
    return EngineEvent(
        time=_nanoseconds(fields) / 1e9,
        type=str(fields.get("Type") or "unknown"),
        action=redact_text(strip_controls(action)),
        id=identity,
        name=_shorten(attributes.get("name") or identity),
        exit_code=int(code) if code.lstrip("-").isdigit() else None,
        attributes=redact_document(attributes),
    )


def _shorten(text: str) -> str:
    """The text, cut to twelve characters if it is an id."""
    match = _ID.fullmatch(text)
    return match[1] if match else text


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _nanoseconds(fields: dict[str, Any]) -> int:
    """An event's time; older engines give only seconds."""
    exact, seconds = fields.get("timeNano"), fields.get("time")
    if isinstance(exact, int):
        return exact
    return int(seconds) * 10**9 if isinstance(seconds, (int, float)) else 0
