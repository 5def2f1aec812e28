"""What the inference service says over HTTP, shared with the console's client. Pydantic only: no heavy imports."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SERVICE_NAME = "xaiva-inference"
API_VERSION = 1  # raised when an older client or service can no longer understand the other

CameraId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]


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

    `score` is 0 to 1 (None when not live); `scores` its newest values, oldest first. For DISCONNECTED, `cause` is a
    stable word (auth, refused, not_found, unreachable, codec, timeout, end, error), `reason` the same as a sentence and
    `retry_in` seconds until the next connection attempt. `source` has its credentials taken out. `fps` counts decoded
    frames, `processed_fps` scored ones; `dropped` are frames due for scoring that a newer one replaced, `damaged`
    packets that could not be decoded; `error` says why the newest scoring failed. `since` is the Unix time at which
    the state began.
    """

    id: str
    name: str
    source: str
    state: CameraState
    cause: str = ""
    reason: str = ""
    width: int = 0
    height: int = 0
    codec: str = ""
    fps: float = 0
    processed_fps: float = 0
    frames: int = 0
    dropped: int = 0
    damaged: int = 0
    last_frame_age: float | None = None
    latency: float | None = None
    score: float | None = None
    scores: list[float] = []
    reconnects: int = 0
    retry_in: float | None = None
    since: float = 0
    error: str = ""


class ServiceStatus(Said):
    """The whole service: `started` is a Unix time, `uptime` seconds, `rss` bytes."""

    version: str
    started: float
    uptime: float
    rss: int
    cameras: list[CameraStatus] = []


class Health(Said):
    """`live`: the process answers and watches its cameras; `ready`: its cameras have been started."""

    live: bool
    ready: bool
    version: str
    detail: str = ""
    service: str = ""
    api: int = 0


class Problem(Said):
    """The body of every answer that is an error, for the reader."""

    what: str
    why: str = ""
    remedy: str = ""


class CameraRequest(BaseModel):
    """A camera to add: `source` is an RTSP URL or a file path; `name` defaults to the id.

    `fps` is how many frames a second are scored at most; `timeout`, in seconds, bounds connecting and waiting for a
    frame.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: CameraId
    source: Annotated[str, Field(min_length=1, max_length=2048)]
    name: Annotated[str, Field(max_length=200)] = ""
    fps: Annotated[float, Field(gt=0, le=60)] = 5
    timeout: Annotated[float, Field(ge=1, le=60)] = 5
