"""A circuit breaker: after repeated failures no attempt is made for a while, then a single one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TOLERATED_FAILURES = 3  # failures in a row before the circuit opens
FIRST_REST_SECONDS = 15.0  # seconds
MAX_REST_SECONDS = 240.0


class CircuitBreaker:
    """closed → open after a few failures in a row → half open after a rest, doubled at each failure → closed.

    Half open lets one attempt through; the next waits for its outcome.
    """

    def __init__(
        self,
        tolerated: int = TOLERATED_FAILURES,
        first_rest: float = FIRST_REST_SECONDS,
        longest_rest: float = MAX_REST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tolerated = tolerated
        self._first_rest = first_rest
        self._longest_rest = longest_rest
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._until = 0.0
        self._trying = False
        self.why = ""  # of the newest failure; empty while closed

    def retry_in(self) -> float | None:
        """Seconds until the next attempt, 0 when it may be made now; None while the circuit is closed."""
        with self._lock:
            if self._failures < self._tolerated:
                return None
            return max(0.0, self._until - self._clock())

    def try_enter(self) -> bool:
        """Whether an attempt may be made now; afterwards call `succeeded` or `failed`."""
        with self._lock:
            if self._failures < self._tolerated:
                return True
            if self._trying or self._clock() < self._until:
                return False
            self._trying = True
            return True

    def succeeded(self) -> None:
        """The attempt succeeded: close the circuit."""
        with self._lock:
            self._failures = 0
            self._trying = False
            self.why = ""

    def failed(self, why: str, *, lasting: bool = False) -> None:
        """The attempt failed; `lasting` when the next ones will fail, too, until somebody changes something."""
        with self._lock:
            self._failures += 1
            if lasting:
                self._failures = max(self._failures, self._tolerated)
            self._trying = False
            self.why = why
            beyond = self._failures - self._tolerated
            if beyond >= 0:
                rest = min(self._longest_rest, self._first_rest * 2 ** min(beyond, 16))
                self._until = self._clock() + (self._longest_rest if lasting else rest)
