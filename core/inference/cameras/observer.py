"""The interface through which a pipeline reports anomalies, clips and alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from core.api_schema import CameraAlert, CameraRequest


@dataclass(frozen=True)
class Decision:
    """An anomaly that lasted long enough. Times are UTC; `picture` is the JPEG of the highest score so far."""

    event: str  # its id, a UUIDv7
    camera: CameraRequest
    started: datetime
    decided: datetime
    score: float
    detector: str
    type: str
    zone: str
    picture: bytes


class Observer(Protocol):
    """Called by the pipelines' threads. Everything but `decided` must return at once."""

    def decided(self, decision: Decision) -> None:
        """An event begins; on return it is safely on disk. What the disk refuses is the observer's to try again."""

    def ended(self, event: str, ended: datetime, peak: float, picture: bytes | None) -> None:
        """The anomaly is over; `picture` when a better one than the decision's was seen."""

    def clip_path(self, event: str) -> Path:
        """Where the event's clip is to be written; its folder exists."""

    def clip_done(self, event: str, seconds: float, size: int, why: str) -> None:
        """The clip is closed; `why` is not empty when it failed."""

    def alert(self, camera: CameraRequest, alert: CameraAlert, active: bool) -> None:
        """Something is wrong with the camera itself, or no longer."""
