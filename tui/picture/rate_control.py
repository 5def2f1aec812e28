"""Chooses the resolution and rate of pictures: at most half of what the line to the terminal carries."""

from __future__ import annotations

from dataclasses import dataclass

SHARPER_BELOW_SECONDS = 0.3  # a picture that is drawn faster makes the next sharper
COARSER_ABOVE_SECONDS = 0.6  # a slower picture makes the next coarser: a key pressed meanwhile waits as long
TOO_SLOW_FOR_SECONDS = 30.0  # a level that was too slow is not tried again for so long
INTERVAL_WITHOUT_RECEIPTS = 3.0  # between pictures, for terminals that send no receipts


@dataclass
class RateControl:
    """The sharpness and time of the next picture. It starts coarse. Times are monotonic seconds."""

    levels: int
    """The number of resolutions to choose from."""
    interval: float = 1.0
    """Seconds between two pictures, at least."""
    lacks_receipts: bool = False
    """The terminal does not report what it has drawn, so pictures stay coarse and few."""
    level: int = 0
    """The resolution of the next picture, 0 for the coarsest."""
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
        """Whether another picture of a still scene would not be sharper."""
        return self.level <= self._shown

    def due(self, now: float) -> bool:
        """Whether it is time for the next one."""
        return self._sent is None and now >= self._due

    def sent(self, now: float) -> None:
        self._sent, self._shown = now, self.level

    def drained(self, now: float) -> None:
        """Note that the picture has arrived. Its time decides the next level, and the line rests for as long."""
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
        """Make the next picture due now, after one that is in flight."""
        self._due = 0.0
