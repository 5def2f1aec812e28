"""Hysteresis: when scores become an anomaly, and when it is over. Pure: no clock of its own, no side effects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from core.api_schema import Detection

RELEASE_RATIO = 0.8  # of the threshold, unless the camera says otherwise


class Transition(Enum):
    """What one score changed."""

    QUIET = "nothing"
    RISING = "rising"  # at or above the threshold, not for long enough yet
    STARTED = "begun"
    ONGOING = "going on"
    ENDED = "ended"


@dataclass
class AnomalyTrigger:
    """Follows one camera's scores. `since` is when the score first crossed, None when all is quiet."""

    since: float | None = None
    anomalous: bool = False
    _below_since: float | None = None
    _cooldown_until: float = float("-inf")

    def feed(self, score: float, at: float, detection: Detection) -> Transition:
        """One score of a frame that arrived at `at` (monotonic seconds), under the settings of now."""
        if self.anomalous:
            return self._feed_anomalous(score, at, detection)
        if score < detection.threshold or at < self._cooldown_until:
            self.since = None
            return Transition.QUIET
        if self.since is None:
            self.since = at
        if at - self.since < detection.minimum_seconds:
            return Transition.RISING
        self.anomalous, self._below_since = True, None
        return Transition.STARTED

    def end(self, at: float, detection: Detection) -> bool:
        """Nothing more is seen from `at` on; whether an anomaly ended by it."""
        was_anomalous = self.anomalous
        if was_anomalous:
            self._cooldown_until = at + detection.cooldown
        self.since, self.anomalous, self._below_since = None, False, None
        return was_anomalous

    def _feed_anomalous(self, score: float, at: float, detection: Detection) -> Transition:
        release = RELEASE_RATIO * detection.threshold if detection.release is None else detection.release
        if score >= release:
            self._below_since = None
            return Transition.ONGOING
        if self._below_since is None:
            self._below_since = at
        if at - self._below_since < detection.minimum_seconds:
            return Transition.ONGOING
        self.end(at, detection)
        return Transition.ENDED
