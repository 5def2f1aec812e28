"""Chooses a picture's resolution and rate: as much as the line to the terminal carries, at most half of it."""

from __future__ import annotations

from dataclasses import dataclass

SHARPER_BELOW_SECONDS = 0.3  # seconds until the terminal has drawn a picture: under this the next may be sharper
COARSER_ABOVE_SECONDS = 0.6  # above this it must be coarser: a key pressed now waits as long
TOO_SLOW_FOR_SECONDS = 30.0  # seconds for which a level that was too slow is not tried again
INTERVAL_WITHOUT_RECEIPTS = 3.0  # seconds between pictures where the terminal does not tell what it has drawn


@dataclass
class RateControl:
    """`level` of `levels` is how sharp the next picture is to be; begins coarse. Times are monotonic seconds.

    `every` bounds how often; `blind`: nobody tells when a picture has arrived, so they stay coarse and few.
    """

    levels: int
    interval: float = 1.0
    lacks_receipts: bool = False
    level: int = 0
    _shown: int = -1
    _sent: float | None = None
    _due: float = 0.0
    _limit: int = 1 << 30
    _limit_until: float = 0.0

    @property
    def in_flight(self) -> bool:
        """Whether a picture is on its way to the terminal."""
        return self._sent is not None

    @property
    def sharpest(self) -> bool:
        """Whether a further picture of the same would not be sharper."""
        return self.level <= self._shown

    def due(self, now: float) -> bool:
        """Whether it is time for the next one."""
        return self._sent is None and now >= self._due

    def sent(self, now: float) -> None:
        self._sent, self._shown = now, self.level

    def drained(self, now: float) -> None:
        """It has arrived: what it took says how sharp the next may be, and the line rests for as long."""
        if self._sent is None:
            return
        took = now - self._sent
        self._due = max(self._sent + (INTERVAL_WITHOUT_RECEIPTS if self.lacks_receipts else self.interval), now + took)
        self._sent = None
        if now > self._limit_until:
            self._limit = self.levels
        if took > COARSER_ABOVE_SECONDS and self.level:
            self.level -= 1
            self._limit, self._limit_until = self.level, now + TOO_SLOW_FOR_SECONDS
        elif took < SHARPER_BELOW_SECONDS and not self.lacks_receipts:
            self.level = min(self.level + 1, self.levels - 1, self._limit)

    def at_once(self) -> None:
        """The next is wanted now; one in flight is waited for all the same."""
        self._due = 0.0
