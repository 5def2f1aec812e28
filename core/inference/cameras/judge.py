"""Hysteresis: when scores become an anomaly, and when it is over. Pure: no clock of its own, no side effects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from core.inference.schemas import Detection

RELEASE = 0.8  # of the threshold, unless the camera says otherwise


class Verdict(Enum):
    """What one score changed."""

    NOTHING = "nothing"
    RISING = "rising"  # at or above the threshold, not for long enough yet
    BEGUN = "begun"
    GOING_ON = "going on"
    ENDED = "ended"


@dataclass
class Judge:
    """Follows one camera's scores. `since` is when the score first crossed, None when all is quiet."""

    since: float | None = None
    anomalous: bool = False
    _calm_since: float | None = None
    _rest_until: float = float("-inf")

    def feed(self, score: float, at: float, detection: Detection) -> Verdict:
        """One score of a frame that arrived at `at` (monotonic seconds), under the settings of now."""
        if self.anomalous:
            return self._during(score, at, detection)
        if score < detection.threshold or at < self._rest_until:
            self.since = None
            return Verdict.NOTHING
        if self.since is None:
            self.since = at
        if at - self.since < detection.minimum_seconds:
            return Verdict.RISING
        self.anomalous, self._calm_since = True, None
        return Verdict.BEGUN

    def end(self, at: float, detection: Detection) -> bool:
        """Nothing more is seen from `at` on; whether an anomaly ended by it."""
        was = self.anomalous
        if was:
            self._rest_until = at + detection.cooldown
        self.since, self.anomalous, self._calm_since = None, False, None
        return was

    def _during(self, score: float, at: float, detection: Detection) -> Verdict:
        release = RELEASE * detection.threshold if detection.release is None else detection.release
        if score >= release:
            self._calm_since = None
            return Verdict.GOING_ON
        if self._calm_since is None:
            self._calm_since = at
        if at - self._calm_since < detection.minimum_seconds:
            return Verdict.GOING_ON
        self.end(at, detection)
        return Verdict.ENDED
