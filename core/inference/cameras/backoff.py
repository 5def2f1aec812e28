"""Delays between connection attempts: short at first, then longer, and longest where retrying rarely helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.inference.cameras.failures import Cause

# For a wrong path or codec, missing rights, a rejected or redirected request: usually somebody must change something.
# A camera or relay that is still starting gives the same answers, therefore the first delays are short.
SLOW_DELAYS = (10.0, 30.0, 60.0, 300.0)


@dataclass(frozen=True)
class Backoff:
    """The delays after consecutive failures, in seconds."""

    ladder: tuple[tuple[float, int], ...] = ((1, 5), (5, 5), (10, 10))  # (seconds, how many times)
    final_delay: float = 60
    stable_seconds: float = 10  # a camera that was live for so long starts again at the first delay
    by_cause: Mapping[Cause, tuple[float, ...]] = field(
        default_factory=lambda: dict.fromkeys(
            (Cause.AUTH, Cause.NOT_FOUND, Cause.REJECTED, Cause.REDIRECT, Cause.CODEC), SLOW_DELAYS
        )
    )

    def delay(self, failures: int, cause: Cause = Cause.ERROR) -> float:
        """Seconds to wait after that many failures (1: the first) with that cause."""
        if cause in self.by_cause:
            return nth_delay(self.by_cause[cause], failures)
        left = failures
        for seconds, times in self.ladder:
            if left <= times:
                return seconds
            left -= times
        return self.final_delay


def nth_delay(delays: tuple[float, ...], failures: int) -> float:
    """The delay after that many failures (1: the first); the last delay repeats."""
    return delays[min(failures, len(delays)) - 1]
