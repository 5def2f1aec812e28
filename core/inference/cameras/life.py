"""The connection states of a camera, as a state machine.

    STOPPED ──begin──▶ CONNECTING ──live──▶ LIVE
                        ▲      │             │
                     retry   failed        failed
                        │      ▼             ▼
                        └──── DISCONNECTED ◀─┘          end, finished: from every state to STOPPED

Each `begin` and `end` makes a new generation. Whoever speaks for an older one (a reader that hung in a dead connection
and wakes up after a stop or a restart) changes nothing and is told so.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, replace

from core.inference.cameras.backoff import Backoff
from core.inference.cameras.failures import Cause, Failure
from core.inference.schemas import CameraState

ELIGIBLE: dict[CameraState, frozenset[CameraState]] = {
    CameraState.STOPPED: frozenset({CameraState.CONNECTING}),
    CameraState.CONNECTING: frozenset({CameraState.LIVE, CameraState.DISCONNECTED, CameraState.STOPPED}),
    CameraState.LIVE: frozenset({CameraState.DISCONNECTED, CameraState.STOPPED}),
    CameraState.DISCONNECTED: frozenset({CameraState.CONNECTING, CameraState.STOPPED}),
}

WITHOUT_PICTURE = frozenset({CameraState.CONNECTING, CameraState.DISCONNECTED})


@dataclass(frozen=True)
class Moment:
    """The life as it stands. `since` is a Unix time; `entered` and `retry_at` are on the monotonic clock.

    `since` is when the state began; of one without a picture when that began, however often it was tried since.
    """

    state: CameraState = CameraState.STOPPED
    since: float = 0
    entered: float = 0
    failure: Failure | None = None
    retry_at: float | None = None
    connections: int = 0  # how often it became live


class Life:
    """Owns the state; every method may be called from any thread."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._lock = threading.Lock()
        self._generation = 0
        self._failures: Counter[Cause] = Counter()
        self._now = Moment(since=time.time(), entered=time.monotonic())

    @property
    def now(self) -> Moment:
        """A snapshot."""
        return self._now

    def begin(self) -> int | None:
        """STOPPED → CONNECTING; returns the token of the new generation, None when it has begun already."""
        with self._lock:
            if not self._move(CameraState.CONNECTING):
                return None
            self._generation += 1
            self._failures.clear()
            return self._generation

    def end(self) -> None:
        """Any state → STOPPED; tokens given before are stale from here on."""
        with self._lock:
            self._generation += 1
            self._move(CameraState.STOPPED)

    def finished(self, generation: int, failure: Failure) -> None:
        """What was to be read once has been: STOPPED, with the reason, unless the token is stale."""
        with self._lock:
            if self.current(generation):
                self._generation += 1
                self._move(CameraState.STOPPED, failure=failure)

    def current(self, generation: int) -> bool:
        """Whether that token is the newest."""
        return generation == self._generation

    def live(self, generation: int) -> bool:
        """The first frame of a connection came. False: stale, or given up in the meantime."""
        with self._lock:
            connections = self._now.connections + 1
            return self.current(generation) and self._move(CameraState.LIVE, connections=connections)

    def waits_for(self, generation: int, failure: Failure) -> None:
        """Something comes, and no picture yet: CONNECTING goes on, and says what it waits for."""
        with self._lock:
            if self.current(generation) and self._now.state is CameraState.CONNECTING:
                self._now = replace(self._now, failure=failure)

    def late(self, seen: Moment, failure: Failure) -> None:
        """Somebody watching from outside found the reader stuck in that moment, if it still lasts: DISCONNECTED."""
        with self._lock:
            if self._now is seen:
                self._lost(failure)

    def failed(self, generation: int, failure: Failure) -> float | None:
        """The connection failed; returns the seconds to wait before the next attempt, None for a stale token."""
        with self._lock:
            if not self.current(generation):
                return None
            self._lost(failure)
            cause = failure.cause if failure.cause in self._backoff.by_cause else Cause.ERROR
            self._failures[cause] += 1
            delay = self._backoff.delay(self._failures[cause], cause)
            self._now = replace(self._now, retry_at=time.monotonic() + delay)
            return delay

    def wait(self, generation: int, failure: Failure, seconds: float) -> None:
        """The next attempt must wait for that long: DISCONNECTED, unless the token is stale."""
        with self._lock:
            if self.current(generation):
                self._lost(failure)
                self._now = replace(self._now, failure=failure, retry_at=time.monotonic() + seconds)

    def retry(self, generation: int) -> bool:
        """DISCONNECTED → CONNECTING, unless the token is stale."""
        with self._lock:
            return self.current(generation) and self._move(CameraState.CONNECTING, failure=self._now.failure)

    def _lost(self, failure: Failure) -> None:
        """LIVE or CONNECTING → DISCONNECTED; nothing happens when `late` was faster: its word stays."""
        if self._now.state is CameraState.LIVE and time.monotonic() - self._now.entered >= self._backoff.steady:
            self._failures.clear()
        self._move(CameraState.DISCONNECTED, failure=failure)

    def _move(self, to: CameraState, *, failure: Failure | None = None, connections: int | None = None) -> bool:
        if to not in ELIGIBLE[self._now.state]:
            return False
        count = self._now.connections if connections is None else connections
        since = self._now.since if {self._now.state, to} == WITHOUT_PICTURE else time.time()
        self._now = Moment(to, since, time.monotonic(), failure, None, count)
        return True
