"""How often somebody may try a password."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

KEYS = 10_000  # remembered at most; the longest unused are forgotten first


@dataclass(frozen=True)
class Limit:
    """At most `tries` in `seconds`."""

    tries: int
    seconds: float


# A name from one address is held tightly; the name from everywhere loosely, lest a stranger locks its owner out.
PAIR = Limit(5, 60)
ADDRESS = Limit(30, 60)
NAME = Limit(100, 300)

Key = tuple[str, ...]


class Limiter:
    """Counts tries by name and address. A try counts when it begins: parallel guesses are no way around."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tries: OrderedDict[Key, deque[float]] = OrderedDict()

    def attempt(self, name: str, address: str) -> float:
        """Count a try; returns 0, or the seconds to wait when it may not be made. A refused try does not count."""
        with self._lock:
            now = self._clock()
            limits = _limits(name, address)
            wait = max(self._wait(key, limit, now) for key, limit in limits)
            if wait <= 0:
                for key, _limit in limits:
                    self._tries[key].append(now)
            while len(self._tries) > KEYS:
                self._tries.popitem(last=False)
            return max(0.0, wait)

    def forgive(self, name: str, address: str) -> None:
        """The password was right: the tries before it by this name from there were typing errors."""
        with self._lock:
            self._tries.pop(("pair", name, address), None)

    def _wait(self, key: Key, limit: Limit, now: float) -> float:
        tries = self._tries.setdefault(key, deque())
        self._tries.move_to_end(key)
        while tries and tries[0] <= now - limit.seconds:
            tries.popleft()
        return tries[0] + limit.seconds - now if len(tries) >= limit.tries else 0


def _limits(name: str, address: str) -> tuple[tuple[Key, Limit], ...]:
    return ((("pair", name, address), PAIR), (("address", address), ADDRESS), (("name", name), NAME))
