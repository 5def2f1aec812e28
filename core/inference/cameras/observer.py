"""The interface through which a pipeline reports anomalies, clips and alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from core.api_schema import CameraAlert, CameraRequest


@dataclass(frozen=True)
class Decision:
    """An anomaly that lasted long enough to become an event. Times are UTC."""

    event: str  # its id, a UUIDv7
    camera: CameraRequest
    started: datetime
    decided: datetime
    score: float
    detector: str
    type: str
    zone: str
    picture: bytes  # JPEG of the frame with the highest score so far


class Observer(Protocol):
    """Called by the pipelines' threads. Every method except `decided` must return immediately."""

    def decided(self, decision: Decision) -> None:
        """An event starts. Returns once it is on disk; if it cannot be written, the observer retries."""

    def ended(self, event: str, ended: datetime, peak: float, picture: bytes | None) -> None:
        """The anomaly is over. `picture` is a JPEG with a higher score than the decision's, if there was one."""

    def clip_path(self, event: str) -> Path:
        """The path for the event's clip, in an existing folder."""

    def clip_done(self, event: str, seconds: float, size: int, why: str) -> None:
        """The clip is complete (`seconds` long, `size` bytes), or failed because of `why`."""

    def alert(self, camera: CameraRequest, alert: CameraAlert, active: bool) -> None:
        """A problem of the camera itself began (`active`) or ended."""
