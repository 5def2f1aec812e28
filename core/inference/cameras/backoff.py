"""Delays between attempts to connect: short at first, longer later."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """A ladder of (seconds, how many times); after its last rung `rest` seconds, for ever."""

    ladder: tuple[tuple[float, int], ...] = ((1, 5), (5, 5), (10, 10))
    rest: float = 60
    steady: float = 10  # seconds a camera must have been live for the ladder to start again at its first rung

    def delay(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row (1: the first)."""
        left = failures
        for seconds, times in self.ladder:
            if left <= times:
                return seconds
            left -= times
        return self.rest
