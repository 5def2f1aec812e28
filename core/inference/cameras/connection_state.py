"""The connection states of a camera, as a state machine.

    STOPPED ──start──▶ CONNECTING ─connected─▶ LIVE
                        ▲      │             │
                     retry   failed        failed
                        │      ▼             ▼
                        └──── DISCONNECTED ◀─┘          stop, finish: from every state to STOPPED

Each `start` and `stop` begins a new generation. Calls with the token of an older one (from a reader that hung in a dead
connection and wakes up after a stop or a restart) change nothing and say so in their result.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, replace

from core.api_schema import CameraState
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.failures import Cause, Failure

TRANSITIONS: dict[CameraState, frozenset[CameraState]] = {
    CameraState.STOPPED: frozenset({CameraState.CONNECTING}),
    CameraState.CONNECTING: frozenset({CameraState.LIVE, CameraState.DISCONNECTED, CameraState.STOPPED}),
    CameraState.LIVE: frozenset({CameraState.DISCONNECTED, CameraState.STOPPED}),
    CameraState.DISCONNECTED: frozenset({CameraState.CONNECTING, CameraState.STOPPED}),
}

WITHOUT_PICTURE = frozenset({CameraState.CONNECTING, CameraState.DISCONNECTED})


@dataclass(frozen=True)
class ConnectionState:
    """The state of a connection. `since` is a Unix time; `entered` and `retry_at` are on the monotonic clock."""

    state: CameraState = CameraState.STOPPED
    since: float = 0  # of CONNECTING and DISCONNECTED: since there has been no picture, over all attempts
    entered: float = 0
    failure: Failure | None = None
    retry_at: float | None = None
    connections: int = 0  # how often it became LIVE


class ConnectionStateMachine:
    """Owns the connection's state. Thread-safe."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._lock = threading.Lock()
        self._generation = 0
        self._failures: Counter[Cause] = Counter()
        self._current = ConnectionState(since=time.time(), entered=time.monotonic())

    @property
    def current(self) -> ConnectionState:
        return self._current

    def start(self) -> int | None:
        """STOPPED → CONNECTING. Returns the token of the new generation, None when already started."""
        with self._lock:
            if not self._transition(CameraState.CONNECTING):
                return None
            self._generation += 1
            self._failures.clear()
            return self._generation

    def stop(self) -> None:
        """Any state → STOPPED; older tokens become stale."""
        with self._lock:
            self._generation += 1
            self._transition(CameraState.STOPPED)

    def finish(self, generation: int, failure: Failure) -> None:
        """The source was read to its end: STOPPED with the reason, unless the token is stale."""
        with self._lock:
            if self.is_current(generation):
                self._generation += 1
                self._transition(CameraState.STOPPED, failure=failure)

    def is_current(self, generation: int) -> bool:
        """Whether the token is not stale."""
        return generation == self._generation

    def connected(self, generation: int) -> bool:
        """The first frame arrived: CONNECTING → LIVE. Returns False for a stale token or an abandoned connection."""
        with self._lock:
            connections = self._current.connections + 1
            return self.is_current(generation) and self._transition(CameraState.LIVE, connections=connections)

    def note_waiting(self, generation: int, failure: Failure) -> None:
        """Packets arrive, but no picture yet: stay CONNECTING, with the reason."""
        with self._lock:
            if self.is_current(generation) and self._current.state is CameraState.CONNECTING:
                self._current = replace(self._current, failure=failure)

    def stalled(self, observed: ConnectionState, failure: Failure) -> None:
        """A watcher found the reader stuck in state `observed`: DISCONNECTED, unless the state changed since then."""
        with self._lock:
            if self._current is observed:
                self._disconnect(failure)

    def failed(self, generation: int, failure: Failure) -> float | None:
        """The connection failed. Returns the seconds to wait before the next attempt, None for a stale token."""
        with self._lock:
            if not self.is_current(generation):
                return None
            self._disconnect(failure)
            cause = failure.cause if failure.cause in self._backoff.by_cause else Cause.ERROR
            self._failures[cause] += 1
            delay = self._backoff.delay(self._failures[cause], cause)
            self._current = replace(self._current, retry_at=time.monotonic() + delay)
            return delay

    def postpone(self, generation: int, failure: Failure, seconds: float) -> None:
        """The next attempt must wait so many seconds: DISCONNECTED, unless the token is stale."""
        with self._lock:
            if self.is_current(generation):
                self._disconnect(failure)
                self._current = replace(self._current, failure=failure, retry_at=time.monotonic() + seconds)

    def retry(self, generation: int) -> bool:
        """DISCONNECTED → CONNECTING, unless the token is stale."""
        with self._lock:
            return self.is_current(generation) and self._transition(
                CameraState.CONNECTING, failure=self._current.failure
            )

    def _disconnect(self, failure: Failure) -> None:
        """LIVE or CONNECTING → DISCONNECTED; when `stalled` came first, its failure stays."""
        if (
            self._current.state is CameraState.LIVE
            and time.monotonic() - self._current.entered >= self._backoff.stable_seconds
        ):
            self._failures.clear()
        self._transition(CameraState.DISCONNECTED, failure=failure)

    def _transition(self, to: CameraState, *, failure: Failure | None = None, connections: int | None = None) -> bool:
        if to not in TRANSITIONS[self._current.state]:
            return False
        count = self._current.connections if connections is None else connections
        since = self._current.since if {self._current.state, to} == WITHOUT_PICTURE else time.time()
        self._current = ConnectionState(to, since, time.monotonic(), failure, None, count)
        return True
