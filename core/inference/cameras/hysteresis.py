"""Hysteresis: decides when scores become an anomaly, and when it is over. Pure: no clock, no side effects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from core.api_schema import Detection

RELEASE_RATIO = 0.8  # of the threshold, unless the camera sets its own `release`


class Transition(Enum):
    """What one score changed in the state of an anomaly."""

    QUIET = "nothing"
    RISING = "rising"  # at or above the threshold, but not for long enough yet
    STARTED = "begun"
    ONGOING = "going on"
    ENDED = "ended"


@dataclass
class AnomalyTrigger:
    """Follows one camera's scores. Times are monotonic seconds."""

    since: float | None = None  # when the score crossed the threshold; None while it is below
    anomalous: bool = False
    _below_since: float | None = None
    _cooldown_until: float = float("-inf")

    def feed(self, score: float, at: float, detection: Detection) -> Transition:
        """Process the score of a frame that arrived at `at`, with the camera's present settings."""
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
        """Reset at `at`, because no more scores follow. Returns whether this ended an anomaly."""
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
