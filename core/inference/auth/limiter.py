"""The rate limit of password attempts."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class TryLimit:
    """At most `tries` in `seconds`."""

    tries: int
    seconds: float


# A name from one address is held tightly; the name from everywhere loosely, lest a stranger locks its owner out. An
# address alone is no limit: behind a published port of a container engine everybody may have the same one.
PAIR_LIMIT = TryLimit(5, 60)
NAME_LIMIT = TryLimit(100, 300)

Key = tuple[str, ...]


class LoginLimiter:
    """Counts tries by name and address.

    To be asked right before a password is looked at: what is remembered is bounded by how many can be looked at in
    `NAME_LIMIT.seconds`, and no flood of made-up names drives out the tries that count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tries: OrderedDict[Key, deque[float]] = OrderedDict()  # the newest of each, the longest unused first

    def attempt(self, name: str, address: str) -> float:
        """Count a try; returns 0, or the seconds to wait when it may not be made. A refused try does not count."""
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
        """The password was right: the tries before it by this name from there were typing errors."""
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
