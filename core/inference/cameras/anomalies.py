"""From scores to events: a camera's current anomaly, its best picture and its clip."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from core.inference.cameras.frames import Frame
from core.inference.cameras.judge import Judge, Verdict
from core.inference.cameras.observer import Decision, Observer
from core.inference.cameras.picture import jpeg
from core.inference.cameras.recorder import Recorder, Recording
from core.inference.events.ids import new_id
from core.inference.schemas import CameraRequest

logger = logging.getLogger(__name__)

GONE = "the camera was gone before its clip could begin"
MARGIN = 3.0  # seconds that the ring holds above pre-roll and minimum duration: latency, and a slow disk


@dataclass
class _Anomaly:
    """What has been seen of it."""

    event: str
    recording: Recording | None
    peak: float
    best: Frame | None = None  # a better picture than the decision's


class Anomalies:
    """Fed by the pipeline's thread alone."""

    def __init__(self, observer: Observer, recorder: Recorder) -> None:
        self._observer = observer
        self._recorder = recorder
        self._judge = Judge()
        self._rising: tuple[float, Frame, str] | None = None  # the highest score since it crossed
        self._current: _Anomaly | None = None

    @property
    def event(self) -> str:
        """The id of the event under way; empty when all is quiet."""
        return self._current.event if self._current else ""

    @property
    def idle(self) -> bool:
        """Whether nothing has begun that must be ended."""
        return self._judge.since is None and self._current is None

    def feed(self, score: float, frame: Frame, zone: str, request: CameraRequest, detector: str) -> None:
        """One scored frame."""
        verdict = self._judge.feed(score, frame.arrived, request.detection)
        if verdict is Verdict.NOTHING:
            self._rising = None
        if verdict in (Verdict.RISING, Verdict.BEGUN) and (self._rising is None or score > self._rising[0]):
            self._rising = (score, frame, zone)
        if verdict is Verdict.BEGUN:
            self._begin(request, detector)
        elif verdict is Verdict.GOING_ON and self._current is not None and score > self._current.peak:
            self._current.peak, self._current.best = score, frame
        elif verdict is Verdict.ENDED:
            self._end(frame.arrived, request.post_roll)

    def end(self, at: float, request: CameraRequest) -> None:
        """Nothing more is seen of the scene from `at` on."""
        self._rising = None
        if self._judge.end(at, request.detection):
            self._end(at, request.post_roll)

    def _begin(self, request: CameraRequest, detector: str) -> None:
        assert self._rising is not None
        assert self._judge.since is not None
        (score, frame, zone), self._rising = self._rising, None
        began = self._judge.since
        decision = Decision(
            event=new_id(),
            camera=request,
            started=_utc(began),
            decided=datetime.now(timezone.utc),
            score=score,
            detector=detector,
            type=request.detection.detector,
            zone=zone,
            picture=_picture(frame),
        )
        recording = self._recorder.begin(began - request.pre_roll, request.longest_clip, began)
        self._observer.decided(decision)
        self._current = _Anomaly(decision.event, recording, score)
        self._record(decision.event, recording)

    def _record(self, event: str, recording: Recording | None) -> None:
        observer = self._observer
        if recording is None:
            observer.clip_done(event, 0.0, 0, GONE)
            return
        try:
            path = observer.clip_path(event)
        except Exception as error:
            self._recorder.cancel(recording)
            logger.exception("clip of event %s", event)
            observer.clip_done(event, 0.0, 0, f"there is no place for it: {error}")
            return
        recording.clip.start(path, lambda seconds, size, why: observer.clip_done(event, seconds, size, why))

    def _end(self, at: float, post_roll: float) -> None:
        anomaly, self._current = self._current, None
        if anomaly is None:
            return
        if anomaly.recording is not None:
            anomaly.recording.until = at + post_roll
        picture = _picture(anomaly.best) if anomaly.best is not None else None
        self._observer.ended(anomaly.event, _utc(at), anomaly.peak, picture)


def _picture(frame: Frame) -> bytes:
    """As JPEG; an event without a picture is better than none."""
    try:
        return jpeg(frame.image)
    except Exception:
        logger.exception("a frame cannot be made a picture")
        return b""


def _utc(monotonic: float) -> datetime:
    return datetime.now(timezone.utc) - timedelta(seconds=time.monotonic() - monotonic)
