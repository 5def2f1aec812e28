"""Delays between attempts to connect: short at first, longer later, and longest where trying again does not help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.inference.cameras.failures import Cause

# A wrong path, a wrong codec, a missing right, a request that is rejected or led elsewhere: mostly somebody must change
# something. A camera or relay that is still starting answers so, too, therefore the first waits are short.
SLOW_DELAYS = (10.0, 30.0, 60.0, 300.0)


@dataclass(frozen=True)
class Backoff:
    """A ladder of (seconds, how many times); after its last rung `rest` seconds each time.

    `by_cause`: seconds to wait after the first, second, … failure of that cause; the last ones go on.
    """

    ladder: tuple[tuple[float, int], ...] = ((1, 5), (5, 5), (10, 10))
    final_delay: float = 60
    stable_seconds: float = 10  # seconds a camera must have been live for the ladder to start again at its first rung
    by_cause: Mapping[Cause, tuple[float, ...]] = field(
        default_factory=lambda: dict.fromkeys(
            (Cause.AUTH, Cause.NOT_FOUND, Cause.REJECTED, Cause.REDIRECT, Cause.CODEC), SLOW_DELAYS
        )
    )

    def delay(self, failures: int, cause: Cause = Cause.ERROR) -> float:
        """Seconds to wait after that many failures (1: the first) of a cause."""
        if cause in self.by_cause:
            return nth_delay(self.by_cause[cause], failures)
        left = failures
        for seconds, times in self.ladder:
            if left <= times:
                return seconds
            left -= times
        return self.final_delay


def nth_delay(delays: tuple[float, ...], failures: int) -> float:
    """The wait after that many failures; the last one for all that follow."""
    return delays[min(failures, len(delays)) - 1]
