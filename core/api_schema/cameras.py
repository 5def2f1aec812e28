"""Cameras: settings, status, alerts and connection tests."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from core.api_schema.base import (
    ONE_VISIBLE_LINE,
    CameraId,
    Fraction,
    Name,
    RequestModel,
    ResponseModel,
    Schedule,
    Slug,
    StrictBool,
)
from core.api_schema.events import Priority
from core.api_schema.products import ProductOrNone
from core.api_schema.sources import normalised_source
from core.open_enum import OpenEnum

Point = tuple[Fraction, Fraction]  # x, y from the upper left corner, as fractions of the picture's width and height
Source = Annotated[
    str,
    BeforeValidator(lambda given: normalised_source(given) if isinstance(given, str) else given),
    Field(min_length=1, max_length=2048),
]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=64)]


class CameraState(OpenEnum):
    """The connection state of a camera.

    CONNECTING becomes LIVE with the first frame. A stream that ends or stalls makes it DISCONNECTED, and it reconnects.
    STOPPED: somebody stopped it. FAILED: it crashed more often than its restart budget allows and must be started by
    hand.
    """

    CONNECTING = "connecting"
    LIVE = "live"
    DISCONNECTED = "disconnected"
    STOPPED = "stopped"
    FAILED = "failed"


class Transport(OpenEnum):
    """The transport protocol of RTSP."""

    TCP = "tcp"
    UDP = "udp"


class Zone(RequestModel):
    """A named part of the picture. Once a camera has zones, only they are watched."""

    name: Annotated[str, Field(min_length=1, max_length=60), ONE_VISIBLE_LINE]
    polygon: Polygon


class Detection(RequestModel):
    """The detector of a camera, and when its score becomes an anomaly."""

    detector: Slug = "motion"
    """A detector the service knows: motion, memory or onnx."""
    model: Annotated[str, Field(max_length=300)] = ""
    """For onnx: a file in the models folder."""
    product: ProductOrNone = ""
    """For memory: the product whose memory bank scores the camera; empty: the camera's own, which it has learned."""
    threshold: Fraction = 0.5
    """An anomaly starts once the score has been at or above this for `minimum_seconds`."""
    release: Fraction | None = None
    """It ends once the score has been below this for `minimum_seconds` (None: 0.8 of the threshold)."""
    minimum_seconds: Annotated[float, Field(ge=0, le=600, strict=True)] = 1.0
    cooldown: Annotated[float, Field(ge=0, le=86400, strict=True)] = 10.0
    """Seconds after an anomaly before the next one can start."""


class CameraRequest(RequestModel):
    """The settings of a camera."""

    id: CameraId
    source: Source
    """An RTSP or HTTP URL, a V4L2 device or a file."""
    name: Annotated[str, Field(max_length=200), ONE_VISIBLE_LINE] = ""
    """The display name; empty: the id."""
    enabled: StrictBool = True
    fps: Annotated[float, Field(gt=0, le=60, strict=True)] = 5
    """The maximum number of frames scored per second."""
    timeout: Annotated[float, Field(ge=1, le=60, strict=True)] = 5
    """Seconds to wait for a connection and for a frame."""
    transport: Transport = Transport.TCP
    loop: StrictBool = True
    """For a file: play it again and again, not once."""
    poll_interval: Annotated[float, Field(ge=0.1, le=3600, strict=True)] = 1
    """For an address that returns single pictures: seconds between two requests."""
    detection: Detection = Detection()
    zones: Annotated[tuple[Zone, ...], Field(max_length=16)] = ()
    """The watched parts of the picture; empty: all of it."""
    masks: Annotated[tuple[Polygon, ...], Field(max_length=16)] = ()
    """The ignored parts of the picture."""
    schedule: Schedule = ()
    """When the camera is scored."""
    pre_roll: Annotated[float, Field(ge=0, le=30, strict=True)] = 5
    """Seconds of the clip before the anomaly."""
    post_roll: Annotated[float, Field(ge=0, le=60, strict=True)] = 5
    """Seconds of the clip after the anomaly."""
    longest_clip: Annotated[float, Field(ge=1, le=600, strict=True)] = 60
    """The maximum length of a clip in seconds."""
    priority: Priority = Priority.NORMAL
    """The priority of its events."""
    analyse: StrictBool = True
    """Whether its events are sent to the analyser."""
    flow: Name = "default"
    """The flow that handles its events."""

    @model_validator(mode="after")
    def _release_below_threshold(self) -> Self:
        release = self.detection.release
        if release is not None and release > self.detection.threshold:
            raise ValueError("detection.release must not be above detection.threshold")
        return self


class AlertKind(OpenEnum):
    """Problems of the camera itself, as opposed to anomalies in the scene."""

    DISCONNECTED = "disconnected"
    FROZEN = "frozen"
    BLACK = "black"
    MOVED = "moved"


class CameraAlert(ResponseModel):
    """A problem of the camera itself."""

    kind: AlertKind
    since: float
    """Unix time."""
    reason: str


class Learning(ResponseModel):
    """The progress of learning what is normal for a camera."""

    done: float
    """Seconds of footage learned so far."""
    wanted: float
    """Seconds of footage to learn."""
    error: str = ""
    """Why learning failed; empty: it did not."""


class CameraStatus(ResponseModel):
    """The current state of a camera. Rates are per second, ages and latencies in seconds (None: no frame yet)."""

    id: str
    name: str
    source: str
    """The source with its secrets hidden; viewers see only its kind and host."""
    state: CameraState
    cause: str = ""
    """Why it is DISCONNECTED, or what the current or previous attempt to connect failed on.

    One of: auth, refused, not_found, rejected, unreachable, codec, timeout, no_key_frame, tls, redirect, end, error.
    """
    reason: str = ""
    """The cause as a sentence."""
    width: int = 0
    height: int = 0
    codec: str = ""
    fps: float = 0
    """Frames decoded."""
    processed_fps: float = 0
    """Frames scored."""
    frames: int = 0
    dropped: int = 0
    """Frames due for scoring that a newer frame replaced."""
    damaged: int = 0
    """Packets that could not be decoded."""
    last_frame_age: float | None = None
    latency: float | None = None
    """The median time from the arrival of a frame to its decision."""
    latency_p99: float | None = None
    score: float | None = None
    """0 to 1; None when the camera is not live."""
    scores: list[float] = []
    """The newest scores, oldest first."""
    threshold: float = 0.5
    reconnects: int = 0
    restarts: int = 0
    retry_in: float | None = None
    """Seconds until the next attempt to connect."""
    since: float = 0
    """The Unix time at which the state began; reconnect attempts do not reset it."""
    error: str = ""
    """Why the newest scoring failed."""
    alerts: list[CameraAlert] = []
    anomaly: str = ""
    """The id of the current event."""
    scheduled: bool = True
    suspended_until: float | None = None
    model: str = ""
    """The key of the model that scores the camera."""
    product: Annotated[str, ONE_VISIBLE_LINE] = ""
    """The product whose memory bank scores the camera; empty: none."""
    vram: int = 0
    """The memory of that model in bytes."""
    decode_ms: float | None = None
    clock_rate: float | None = None
    """Seconds of the camera's clock per real second, for information only (None: not measured, or no time stamps)."""
    learning: Learning | None = None


class LearnRequest(RequestModel):
    """How long to learn what is normal for a camera."""

    minutes: Annotated[float, Field(gt=0, le=1440, strict=True)] = 10


class SuspendRequest(RequestModel):
    """How long to suspend a camera's notifications; 0 resumes them. Events are still recorded."""

    minutes: Annotated[float, Field(ge=0, le=43200, strict=True)] = 60


class ConnectionTest(ResponseModel):
    """The result of one attempt to connect."""

    ok: bool
    snapshot: bool = False
    """The source sends single pictures."""
    cause: str = ""
    reason: str = ""
    width: int = 0
    height: int = 0
    codec: str = ""
    fps: float = 0
    seconds: float = 0
    """Until the first frame."""
