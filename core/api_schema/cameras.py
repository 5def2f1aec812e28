"""Cameras: settings and status."""

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
from core.api_schema.sources import normalised_source
from core.open_enum import OpenEnum

Point = tuple[Fraction, Fraction]  # x, y from the upper left corner, in shares of the picture's width and height
Source = Annotated[
    str,
    BeforeValidator(lambda given: normalised_source(given) if isinstance(given, str) else given),
    Field(min_length=1, max_length=2048),
]
Polygon = Annotated[tuple[Point, ...], Field(min_length=3, max_length=64)]


class CameraState(OpenEnum):
    """A camera's life: CONNECTING → LIVE; any end or stall → DISCONNECTED, which retries; STOPPED on request.

    FAILED: its pipeline broke down more often than its restart budget allows; start it by hand.
    """

    CONNECTING = "connecting"
    LIVE = "live"
    DISCONNECTED = "disconnected"
    STOPPED = "stopped"
    FAILED = "failed"


class Transport(OpenEnum):
    """How RTSP carries the pictures."""

    TCP = "tcp"
    UDP = "udp"


class Zone(RequestModel):
    """A named part of the picture that alone is watched."""

    name: Annotated[str, Field(min_length=1, max_length=60), ONE_VISIBLE_LINE]
    polygon: Polygon


class Detection(RequestModel):
    """What scores the pictures and from where on it is an anomaly.

    `detector` is a type the service knows: motion, memory, or onnx with `model`, a file under the models folder.
    An anomaly begins once the score was at or above `threshold` for `minimum_seconds` and ends once it was below
    `release` (default: 0.8 of the threshold) for as long; `cooldown` seconds pass before the next one.
    """

    detector: Slug = "motion"
    model: Annotated[str, Field(max_length=300)] = ""
    threshold: Fraction = 0.5
    release: Fraction | None = None
    minimum_seconds: Annotated[float, Field(ge=0, le=600, strict=True)] = 1.0
    cooldown: Annotated[float, Field(ge=0, le=86400, strict=True)] = 10.0


class CameraRequest(RequestModel):
    """A camera as it is set. `source`: an RTSP or HTTP URL, a V4L2 device or a file; `name` defaults to the id.

    `fps` is how many frames a second are scored at most; `timeout`, in seconds, bounds connecting and waiting for a
    frame. `loop`: a file is played again and again, else once. `poll_interval`: an address that answers with one
    picture is asked for the next after so many seconds. Scored is what lies in a zone (none: everywhere) and in no
    mask, while a window of `schedule` is open. `pre_roll` and `post_roll` are the clip's seconds around the anomaly,
    `longest_clip` bounds it as a whole. `flow` names what is done about an event; `analyse`: ask the analyser.
    """

    id: CameraId
    source: Source
    name: Annotated[str, Field(max_length=200), ONE_VISIBLE_LINE] = ""
    enabled: StrictBool = True
    fps: Annotated[float, Field(gt=0, le=60, strict=True)] = 5
    timeout: Annotated[float, Field(ge=1, le=60, strict=True)] = 5
    transport: Transport = Transport.TCP
    loop: StrictBool = True
    poll_interval: Annotated[float, Field(ge=0.1, le=3600, strict=True)] = 1
    detection: Detection = Detection()
    zones: Annotated[tuple[Zone, ...], Field(max_length=16)] = ()
    masks: Annotated[tuple[Polygon, ...], Field(max_length=16)] = ()
    schedule: Schedule = ()
    pre_roll: Annotated[float, Field(ge=0, le=30, strict=True)] = 5
    post_roll: Annotated[float, Field(ge=0, le=60, strict=True)] = 5
    longest_clip: Annotated[float, Field(ge=1, le=600, strict=True)] = 60
    priority: Priority = Priority.NORMAL
    analyse: StrictBool = True
    flow: Name = "default"

    @model_validator(mode="after")
    def _release_below_threshold(self) -> Self:
        release = self.detection.release
        if release is not None and release > self.detection.threshold:
            raise ValueError("detection.release must not be above detection.threshold")
        return self


class AlertKind(OpenEnum):
    """What is wrong with a camera itself: what it shows no anomaly of the scene explains, or it shows nothing."""

    DISCONNECTED = "disconnected"
    FROZEN = "frozen"
    BLACK = "black"
    MOVED = "moved"


class CameraAlert(ResponseModel):
    """Something is wrong with the camera itself; `since` is a Unix time."""

    kind: AlertKind
    since: float
    reason: str


class Learning(ResponseModel):
    """A detector that learns the camera's normal pictures. `done` and `wanted` in seconds; `error` when it failed."""

    done: float
    wanted: float
    error: str = ""


class CameraStatus(ResponseModel):
    """One camera as it is now. Rates per second, ages and latencies in seconds (None: no frame yet).

    `score` is 0 to 1 (None when not live); `scores` its newest values, oldest first. For DISCONNECTED, `cause` is a
    stable word (auth, refused, not_found, rejected, unreachable, codec, timeout, no_key_frame, tls, redirect, end,
    error), `reason` the same as a sentence and `retry_in` seconds until the next connection attempt. CONNECTING has
    both for what it waits for, or of the attempt before. `source` has its secrets hidden; for viewers it is kind and
    host. `fps` counts decoded frames, `processed_fps` scored ones; `dropped` are frames due for scoring that a newer
    one replaced, `damaged` packets that could not be decoded; `error` says why the newest scoring failed. `latency` is
    the median from arrival to decision, `latency_p99` its 99th percentile. `clock_rate`: the seconds of the camera's
    own clock in a real one; nothing goes by it (None: no time stamps, or not measured yet). `since` is the Unix time
    at which the state began; of a camera without a picture, when that began, however often it was tried since.
    `anomaly` is the id of the event under way. `model` is the key of the model that scores, `vram` its bytes
    there.
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
    latency_p99: float | None = None
    score: float | None = None
    scores: list[float] = []
    threshold: float = 0.5
    reconnects: int = 0
    restarts: int = 0
    retry_in: float | None = None
    since: float = 0
    error: str = ""
    alerts: list[CameraAlert] = []
    anomaly: str = ""
    scheduled: bool = True
    suspended_until: float | None = None
    model: str = ""
    vram: int = 0
    decode_ms: float | None = None
    clock_rate: float | None = None
    learning: Learning | None = None


class LearnRequest(RequestModel):
    """Learn the camera's normal pictures for that long, then score with what was learned."""

    minutes: Annotated[float, Field(gt=0, le=1440, strict=True)] = 10


class SuspendRequest(RequestModel):
    """No notifications of this camera for that long; 0 ends it. Events are kept all the same."""

    minutes: Annotated[float, Field(ge=0, le=43200, strict=True)] = 60


class ConnectionTest(ResponseModel):
    """What one attempt to connect found; `seconds` until the first frame. `snapshot`: it sends single pictures."""

    ok: bool
    snapshot: bool = False
    cause: str = ""
    reason: str = ""
    width: int = 0
    height: int = 0
    codec: str = ""
    fps: float = 0
    seconds: float = 0
