"""Turns scores into events: follows a camera's current anomaly, its best picture and its clip."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from core.api_schema import CameraRequest
from core.api_schema.event_types import event_type
from core.inference.cameras.conversion import encode_jpeg
from core.inference.cameras.frames import Frame
from core.inference.cameras.hysteresis import AnomalyTrigger, Transition
from core.inference.cameras.observer import Decision, Observer
from core.inference.cameras.recorder import ClipRecorder, Recording
from core.inference.events.ids import new_id

logger = logging.getLogger(__name__)

NO_FOOTAGE = "the camera disconnected before its clip could start"
RING_MARGIN_SECONDS = 3.0  # seconds kept in the ring beyond pre-roll and minimum duration, for latency and slow disks


@dataclass
class _OpenAnomaly:
    event: str  # the id
    recording: Recording | None
    peak: float
    best: Frame | None = None  # with a higher score than the decision's picture


class AnomalyTracker:
    """Not thread-safe: only the pipeline's thread feeds it."""

    def __init__(self, observer: Observer, recorder: ClipRecorder) -> None:
        self._observer = observer
        self._recorder = recorder
        self._trigger = AnomalyTrigger()
        self._candidate: tuple[float, Frame, str] | None = None  # score, frame, zone: the best so far
        self._current: _OpenAnomaly | None = None

    @property
    def event(self) -> str:
        """The id of the current event; empty without one."""
        return self._current.event if self._current else ""

    @property
    def idle(self) -> bool:
        """Whether there is neither a current event nor a score above the threshold."""
        return self._trigger.since is None and self._current is None

    def feed(self, score: float, frame: Frame, zone: str, request: CameraRequest, detector: str) -> None:
        """Process one scored frame; `zone` is the zone with the most change, "" for none."""
        transition = self._trigger.feed(score, frame.arrived, request.detection)
        if transition is Transition.QUIET:
            self._candidate = None
        if transition in (Transition.RISING, Transition.STARTED) and (
            self._candidate is None or score > self._candidate[0]
        ):
            self._candidate = (score, frame, zone)
        if transition is Transition.STARTED:
            self._begin(request, detector)
        elif transition is Transition.ONGOING and self._current is not None and score > self._current.peak:
            self._current.peak, self._current.best = score, frame
        elif transition is Transition.ENDED:
            self._end(frame.arrived, request.post_roll)

    def end(self, at: float, request: CameraRequest) -> None:
        """End the current anomaly at `at` (monotonic seconds), because nothing is seen or scored any more."""
        self._candidate = None
        if self._trigger.end(at, request.detection):
            self._end(at, request.post_roll)

    def _begin(self, request: CameraRequest, detector: str) -> None:
        assert self._candidate is not None
        assert self._trigger.since is not None
        (score, frame, zone), self._candidate = self._candidate, None
        started = self._trigger.since
        decision = Decision(
            event=new_id(),
            camera=request,
            started=_to_utc(started),
            decided=datetime.now(timezone.utc),
            score=score,
            detector=detector,
            type=event_type(request.detection.detector),
            zone=zone,
            picture=_encode_picture(frame),
        )
        recording = self._recorder.begin(started - request.pre_roll, request.longest_clip, started)
        self._observer.decided(decision)
        self._current = _OpenAnomaly(decision.event, recording, score)
        self._start_clip(decision.event, recording)

    def _start_clip(self, event: str, recording: Recording | None) -> None:
        observer = self._observer
        if recording is None:
            observer.clip_done(event, 0.0, 0, NO_FOOTAGE)
            return
        try:
            path = observer.clip_path(event)
        except Exception as error:
            self._recorder.cancel(recording)
            logger.exception("clip of event %s", event)
            observer.clip_done(event, 0.0, 0, f"the clip file cannot be created: {error}")
            return
        recording.clip.start(path, lambda seconds, size, why: observer.clip_done(event, seconds, size, why))

    def _end(self, at: float, post_roll: float) -> None:
        anomaly, self._current = self._current, None
        if anomaly is None:
            return
        if anomaly.recording is not None:
            anomaly.recording.until = at + post_roll
        picture = _encode_picture(anomaly.best) if anomaly.best is not None else None
        self._observer.ended(anomaly.event, _to_utc(at), anomaly.peak, picture)


def _encode_picture(frame: Frame) -> bytes:
    """The frame as JPEG; empty when it cannot be encoded, because an event without a picture is better than none."""
    try:
        return encode_jpeg(frame.image)
    except Exception:
        logger.exception("a frame cannot be encoded as a picture")
        return b""


def _to_utc(monotonic: float) -> datetime:
    return datetime.now(timezone.utc) - timedelta(seconds=time.monotonic() - monotonic)
