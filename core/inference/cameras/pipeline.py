"""One camera from source to score: sampling, conversion of the frames that are used, the detector."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from statistics import median

from core.errors import XaivaError
from core.inference.cameras.address import parse
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.frames import Frame, LatestFrame, Rate, Sampler
from core.inference.cameras.picture import convert, jpeg
from core.inference.cameras.source import CameraSource, SourceStatus
from core.inference.models.detector import Detector, Sample
from core.inference.schemas import CameraRequest, CameraState, CameraStatus

logger = logging.getLogger(__name__)

KEPT = 60  # scores and latencies: what a sparkline shows
DECIDE_SECONDS = 1.0  # how long a stop waits for the decision under way


class NoPicture(XaivaError):
    """The camera has no picture of now."""


class CameraPipeline:
    """Owns a source and a thread that decides. Raises InputError for a source that cannot be one."""

    def __init__(self, request: CameraRequest, detector: Detector, backoff: Backoff | None = None) -> None:
        self.request = request
        self._detector = detector
        address = parse(request.source)
        self.source = CameraSource(request.id, address, self._offer, timeout=request.timeout, backoff=backoff)
        self._sampler = Sampler(request.fps)
        self._slot = LatestFrame()
        self._thread: threading.Thread | None = None
        self._rate = Rate()
        self._scores: deque[float] = deque(maxlen=KEPT)
        self._latencies: deque[float] = deque(maxlen=KEPT)
        self._picture: Frame | None = None  # the newest frame that was scored
        self._error = ""

    def start(self) -> None:
        """Begin reading and deciding; a stopped pipeline is not started again."""
        self._thread = threading.Thread(target=self._decide, name=f"decide-{self.request.id}", daemon=True)
        self._thread.start()
        self.source.start()

    def signal_stop(self) -> None:
        """Stop reading and deciding, without waiting."""
        self.source.signal_stop()
        self._slot.close()

    def stop(self) -> bool:
        """Stop from any state within 5 s. False when a thread hangs; it is cut off and ends by its own time-outs."""
        self.signal_stop()
        self.source.stop()
        if self._thread is not None:
            self._thread.join(DECIDE_SECONDS)
        return self.ended

    @property
    def ended(self) -> bool:
        """Whether no thread of this pipeline runs."""
        return self.source.ended and (self._thread is None or not self._thread.is_alive())

    def status(self) -> CameraStatus:
        """A snapshot."""
        source = self.source.status()
        live = source.life.state is CameraState.LIVE
        scores, latencies = list(self._scores), list(self._latencies)
        return CameraStatus(
            id=self.request.id,
            name=self.request.name or self.request.id,
            source=self.source.address.shown,
            state=source.life.state,
            cause=source.life.failure.cause.value if source.life.failure else "",
            reason=source.life.failure.reason if source.life.failure else "",
            width=source.width,
            height=source.height,
            codec=source.codec,
            fps=round(source.fps, 2),
            processed_fps=round(self._rate.value(), 2) if live else 0.0,
            frames=source.frames,
            dropped=self._slot.dropped,
            damaged=source.damaged,
            last_frame_age=_rounded(source.age),
            latency=_rounded(median(latencies)) if live and latencies else None,
            score=_rounded(scores[-1]) if live and scores else None,
            scores=[round(score, 4) for score in scores],
            reconnects=max(0, source.life.connections - 1),
            retry_in=_retry_in(source),
            since=source.life.since,
            error=self._error,
        )

    def snapshot(self) -> tuple[bytes, float]:
        """The newest scored frame as JPEG, and its age in seconds. Raises NoPicture when the camera is not live."""
        picture = self._picture
        if picture is None or self.source.status().life.state is not CameraState.LIVE:
            raise NoPicture(f"Camera {self.request.id}", "it is not live", "its status says why")
        return jpeg(picture.image), time.monotonic() - picture.captured

    def _offer(self, frame: Frame) -> None:
        if self._sampler.due(time.monotonic()):
            self._slot.put(frame)

    def _decide(self) -> None:
        connection = 0
        while (frame := self._slot.take()) is not None:
            if frame.connection != connection:
                connection = frame.connection
                self._detector.forget(self.request.id)
            try:
                self._score(frame)
                self._error = ""
            except Exception as error:  # one bad frame or model must not end the camera: it shows in the status
                if not self._error:
                    logger.exception("camera %s: scoring failed", self.request.id)
                self._error = f"scoring failed: {type(error).__name__}"

    def _score(self, frame: Frame) -> None:
        detector = self._detector
        picture = convert(frame.image, detector.width, detector.height, detector.pixel_format)
        self._scores.extend(detector.score([Sample(self.request.id, picture, frame.captured)]))
        self._latencies.append(time.monotonic() - frame.captured)
        self._picture = frame
        self._rate.tick()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _retry_in(source: SourceStatus) -> float | None:
    if source.life.state is not CameraState.DISCONNECTED or source.life.retry_at is None:
        return None
    return round(max(0.0, source.life.retry_at - time.monotonic()), 1)
