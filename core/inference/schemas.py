"""What the inference service says over HTTP, shared with the console's client. Pydantic only: no heavy imports."""

from __future__ import annotations

from enum import Enum

from pydantic import BaseModel, ConfigDict


class CameraState(str, Enum):
    """A camera's life: CONNECTING → LIVE; any end or stall → DISCONNECTED, which retries; STOPPED on request."""

    CONNECTING = "connecting"
    LIVE = "live"
    DISCONNECTED = "disconnected"
    STOPPED = "stopped"


class Said(BaseModel):
    """Unknown keys are ignored, so that an older console can read a newer service."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class CameraStatus(Said):
    """One camera as it is now. Rates per second, ages and latencies in seconds (None: no frame yet).

    `score` is 0 to 1; `scores` its newest values, oldest first; `reason` one sentence for DISCONNECTED;
    `source` has its credentials taken out; `retry_in` seconds until the next connection attempt.
    """

    id: str
    name: str
    source: str
    state: CameraState
    reason: str = ""
    width: int = 0
    height: int = 0
    codec: str = ""
    fps: float = 0
    processed_fps: float = 0
    frames: int = 0
    dropped: int = 0
    last_frame_age: float | None = None
    latency: float | None = None
    score: float | None = None
    scores: list[float] = []
    reconnects: int = 0
    retry_in: float | None = None
    since: float = 0


class ServiceStatus(Said):
    """The whole service: `started` is a Unix time, `uptime` seconds, `rss` bytes."""

    version: str
    started: float
    uptime: float
    rss: int
    cameras: list[CameraStatus] = []


class Health(Said):
    """`live`: the process answers; `ready`: its cameras have been started."""

    live: bool
    ready: bool
    version: str
    detail: str = ""


class CameraRequest(BaseModel):
    """A camera to add: `source` is an RTSP URL or a file path; `name` defaults to the id."""

    model_config = ConfigDict(extra="forbid")

    id: str
    source: str
    name: str = ""
