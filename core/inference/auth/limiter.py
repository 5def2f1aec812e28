"""The rate limit of password attempts."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class TryLimit:
    tries: int
    seconds: float


# One name from one address is limited tightly; a name from all addresses loosely, so that a stranger cannot lock its
# owner out. The address alone has no limit: behind a container engine's published port all clients may share one.
PAIR_LIMIT = TryLimit(5, 60)
NAME_LIMIT = TryLimit(100, 300)

Key = tuple[str, ...]


class LoginLimiter:
    """Counts login attempts by name and address.

    Ask right before a password is checked: memory is then bounded by the passwords that can be checked in
    `NAME_LIMIT.seconds`, and a flood of made-up names cannot evict real attempts.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tries: OrderedDict[Key, deque[float]] = (
            OrderedDict()
        )  # newest attempts; the least recently used key first

    def attempt(self, name: str, address: str) -> float:
        """Count an attempt; returns 0, or the seconds to wait when it is refused. Refused attempts do not count."""
        with self._lock:
            now = self._clock()
            limits = _limits(name, address)
            wait = max(self._wait(key, limit, now) for key, limit in limits)
            if wait <= 0:
                for key, limit in limits:
                    self._tries.setdefault(key, deque(maxlen=limit.tries)).append(now)
                    self._tries.move_to_end(key)
            self._sweep(now)
            return max(0.0, wait)

    def forget(self, name: str, address: str) -> None:
        """Forget the attempts of this name from this address, after a correct password."""
        with self._lock:
            self._tries.pop(("pair", name, address), None)

    def _wait(self, key: Key, limit: TryLimit, now: float) -> float:
        tries = self._tries.get(key)
        return tries[0] + limit.seconds - now if tries and len(tries) == limit.tries else 0

    def _sweep(self, now: float) -> None:
        longest = max(PAIR_LIMIT.seconds, NAME_LIMIT.seconds)
        while self._tries and next(iter(self._tries.values()))[-1] <= now - longest:
            self._tries.popitem(last=False)


def _limits(name: str, address: str) -> tuple[tuple[Key, TryLimit], ...]:
    return ((("pair", name, address), PAIR_LIMIT), (("name", name), NAME_LIMIT))
