"""The restart budget of a camera: how soon a failed pipeline is restarted, and when that is given up. Pure: no I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class CameraTimes:
    """Times of a camera's pipeline and of its restarts, in seconds."""

    score_timeout: float = 10  # that a model may take for one picture
    disconnected_alert: float = 30  # without a frame before an alert; a camera that reboots is back by then
    broken: float = 10  # of failed scoring without one success, after which the pipeline is broken
    restart_delays: tuple[float, ...] = (1, 5, 15, 30, 60)  # before each restart; one more failure is the last
    restart_memory: float = 600  # after which a restart no longer counts


class RestartBudget:
    """Plans restarts. The caller provides the time (monotonic seconds) and carries them out."""

    def __init__(self, times: CameraTimes) -> None:
        self._times = times
        self._recent: deque[float] = deque()
        self.count = 0  # all planned restarts
        self.due: float | None = None  # when the planned restart is due

    def failed(self, now: float) -> float | None:
        """Plan a restart. Returns its delay in seconds, None when the budget is used up."""
        while self._recent and now - self._recent[0] > self._times.restart_memory:
            self._recent.popleft()
        if len(self._recent) >= len(self._times.restart_delays):
            self.due = None
            return None
        delay = self._times.restart_delays[len(self._recent)]
        self._recent.append(now)
        self.count += 1
        self.due = now + delay
        return delay

    def take_due(self, now: float) -> bool:
        """Whether the planned restart is to be carried out now; says so once."""
        if self.due is None or now < self.due:
            return False
        self.due = None
        return True

    def cancel(self) -> None:
        self.due = None

    def reset(self) -> None:
        """Drop the planned restart and forget earlier ones, because a user starts the camera."""
        self.due = None
        self._recent.clear()
