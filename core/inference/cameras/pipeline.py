"""One camera from source to decision: sampling, zones, the score, and what follows from it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from core.errors import XaivaError
from core.inference.cameras.address import parse
from core.inference.cameras.anomalies import MARGIN, Anomalies
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.failures import Cause
from core.inference.cameras.frames import Frame, LatestFrame, Rate, Sampler
from core.inference.cameras.logins import Logins
from core.inference.cameras.observer import Observer
from core.inference.cameras.picture import jpeg
from core.inference.cameras.recorder import Recorder
from core.inference.cameras.scene import Scene
from core.inference.cameras.source import STOP_SECONDS, CameraSource, SourceStatus
from core.inference.cameras.view import ViewTimes, ViewWatch
from core.inference.models.detector import Sample
from core.inference.models.scorer import Scorer
from core.inference.schedule import is_open
from core.inference.schemas import AlertKind, CameraAlert, CameraRequest, CameraState, CameraStatus

logger = logging.getLogger(__name__)

KEPT_SCORES = 60  # what a sparkline shows
KEPT_LATENCIES = 300  # a minute at five decisions a second: enough for a 99th percentile
IDLE_SECONDS = 0.5  # how often the deciding thread looks up while no frame comes
ANSWER_SECONDS = 10.0  # how long a model may take for one picture
LOST_SECONDS = 30.0  # without a frame: then it is an alert. A camera that restarts by itself is back by then
BROKEN_SECONDS = 10.0  # scoring that failed for so long without one success is a broken pipeline

Tap = Callable[["Look"], None]


class NoPicture(XaivaError):
    """The camera has no picture of now."""


@dataclass(frozen=True)
class Tools:
    """What every pipeline uses: whom it tells, and in which zone schedules are meant."""

    observer: Observer
    zone: ZoneInfo
    backoff: Backoff | None = None
    logins: Logins = field(default_factory=Logins)
    view_times: ViewTimes | None = None


@dataclass(frozen=True)
class _Plan:
    """What a frame is decided by; replaced as a whole, so that each frame sees one of them."""

    request: CameraRequest
    scorer: Scorer
    scene: Scene


@dataclass(frozen=True)
class Look:
    """One sampled frame, for whoever taps a camera."""

    frame: Frame
    scene: Scene

    def sample(self, width: int, height: int, pixel_format: str) -> Sample:
        """The frame as a detector of that kind would get it: uint8, height x width (x channels), masks applied."""
        return self.scene.sample(self.frame, width, height, pixel_format)


class CameraPipeline:
    """Owns a source and a thread that decides. Raises InputError for a source that cannot be one.

    What the deciding thread knows it alone writes, each field as a whole and never in place, so that a status needs no
    lock; scores and latencies are copied in one step. `update` replaces the plan and the sampler in the same way.
    """

    def __init__(self, request: CameraRequest, scorer: Scorer, tools: Tools, taps: list[Tap] | None = None) -> None:
        self._plan = _Plan(request, scorer, Scene(request))
        self._tools = tools
        self._taps = taps if taps is not None else []
        self._recorder = Recorder(_kept(request))
        self._anomalies = Anomalies(tools.observer, self._recorder)
        self._view = ViewWatch(tools.view_times)
        self.source = CameraSource(
            request.id,
            parse(request.source),
            self._offer,
            self._recorder,
            timeout=request.timeout,
            transport=request.transport,
            loop=request.loop,
            poll_interval=request.poll_interval,
            backoff=tools.backoff,
            logins=tools.logins,
        )
        self._sampler = Sampler(request.fps)
        self._slot = LatestFrame()
        self._thread: threading.Thread | None = None
        self._rate = Rate()
        self._scores: deque[float] = deque(maxlen=KEPT_SCORES)
        self._latencies: deque[float] = deque(maxlen=KEPT_LATENCIES)
        self._picture: Frame | None = None  # the newest sampled frame
        self._began = time.monotonic()
        self._lost: CameraAlert | None = None
        self._context: tuple[int, Scene, Scorer] | None = None
        self._scheduled = True
        self._error = ""
        self._failing_since: float | None = None

    @property
    def request(self) -> CameraRequest:
        """How the camera is set now."""
        return self._plan.request

    def start(self) -> None:
        """Begin reading and deciding; a stopped pipeline is not started again."""
        self._thread = threading.Thread(target=self._decide, name=f"decide-{self.request.id}", daemon=True)
        self._thread.start()
        self.source.start()

    def update(self, request: CameraRequest, scorer: Scorer) -> None:
        """Go on under other settings, from the next frame on, without touching the connection.

        The settings of the source itself (OF_THE_SOURCE in camera.py) do not change by it.
        """
        if request.fps != self._plan.request.fps:
            self._sampler = Sampler(request.fps)
        self._recorder.keep_seconds(_kept(request))
        before = self._plan
        same = (request.zones, request.masks) == (before.request.zones, before.request.masks)
        self._plan = _Plan(request, scorer, before.scene if same else Scene(request))

    def signal_stop(self) -> None:
        """Stop reading and deciding, without waiting."""
        self.source.signal_stop()
        self._slot.close()
        self._recorder.lost()

    def stop(self) -> bool:
        """Stop from any state within 2 s. False when a thread hangs; it is cut off and ends by its own time-outs."""
        deadline = time.monotonic() + STOP_SECONDS
        self.signal_stop()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)
        for clip in self._recorder.open_clips():
            clip.join(max(0.0, deadline - time.monotonic()))
        self.source.stop(max(0.0, deadline - time.monotonic()))
        return self.ended

    @property
    def ended(self) -> bool:
        """Whether no thread of this pipeline runs and every clip is closed."""
        deciding = self._thread is not None and self._thread.is_alive()
        return self.source.ended and not deciding and not self._recorder.open_clips()

    def broken(self) -> str:
        """Why this pipeline should be replaced by a new one, as a sentence; empty when it works."""
        since, state = self._failing_since, self.source.status().life.state
        if since is not None and time.monotonic() - since > BROKEN_SECONDS:
            return self._error
        threads_ended = self._thread is not None and (not self._thread.is_alive() or self.source.ended)
        return "its thread died" if threads_ended and state is not CameraState.STOPPED else ""

    def status(self) -> CameraStatus:
        """A snapshot."""
        source, plan = self.source.status(), self._plan
        live = source.life.state is CameraState.LIVE
        scores, latencies = list(self._scores), sorted(self._latencies)
        return CameraStatus(
            id=plan.request.id,
            name=plan.request.name or plan.request.id,
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
            latency=_rounded(latencies[len(latencies) // 2]) if live and latencies else None,
            latency_p99=_rounded(latencies[int(len(latencies) * 0.99)]) if live and latencies else None,
            score=_rounded(scores[-1]) if live and scores and self._scheduled else None,
            scores=[round(score, 4) for score in scores],
            threshold=plan.request.detection.threshold,
            reconnects=max(0, source.life.connections - 1),
            retry_in=_retry_in(source),
            since=source.life.since,
            error=self._error,
            alerts=self._view.alerts if live else [],
            anomaly=self._anomalies.event,
            scheduled=self._scheduled,
            model=plan.scorer.key,
            vram=plan.scorer.cost,
            decode_ms=None if source.cost is None else round(1000 * source.cost, 3),
            clock_rate=_rounded(source.clock_rate),
        )

    def snapshot(self) -> tuple[bytes, float]:
        """The newest sampled frame as JPEG, and its age in seconds. Raises NoPicture when the camera is not live."""
        picture = self._picture
        if picture is None or self.source.status().life.state is not CameraState.LIVE:
            raise NoPicture(f"Camera {self.request.id}", "it is not live", "its status says why")
        return jpeg(picture.image), time.monotonic() - picture.arrived

    def _offer(self, frame: Frame) -> None:
        if self._sampler.due(time.monotonic()):
            self._slot.put(frame)

    def _decide(self) -> None:
        newest: Frame | None = None
        while not self._slot.closed:
            frame = self._slot.take(IDLE_SECONDS)
            try:
                if frame is None:
                    self._idle(newest)
                    continue
                before, newest = newest or frame, frame
                self._look(frame, before)
                self._error, self._failing_since = "", None
            except Exception as error:  # one bad frame or model must not end the camera: it shows in the status
                self._note(error)
        self._say_goodbye(newest)

    def _look(self, frame: Frame, before: Frame) -> None:
        plan = self._plan
        context = (frame.connection, plan.scene, plan.scorer)
        if context != self._context:  # other pictures than before: what was learned of them is of no use
            self._context = context
            self._anomalies.end(before.arrived, plan.request)
            plan.scorer.forget(plan.request.id)
        self._picture = frame
        self._found()
        for alert, active in self._view.look(frame):
            self._tools.observer.alert(plan.request, alert, active)
        for tap in list(self._taps):
            tap(Look(frame, plan.scene))
        self._scheduled = is_open(plan.request.schedule, datetime.now(timezone.utc), self._tools.zone)
        if self._scheduled:
            self._score(frame, plan)
        else:
            self._anomalies.end(frame.arrived, plan.request)

    def _score(self, frame: Frame, plan: _Plan) -> None:
        scorer = plan.scorer
        score = self._answer(scorer.submit(plan.scene.sample(frame, scorer.width, scorer.height, scorer.pixel_format)))
        if score is None:
            return
        self._scores.append(score)
        self._latencies.append(time.monotonic() - frame.arrived)
        self._rate.tick()
        above = score >= plan.request.detection.threshold
        zone = plan.scene.zone_of(self._view.difference()) if above else ""
        self._anomalies.feed(score, frame, zone, plan.request, scorer.key)

    def _answer(self, future: Future[float]) -> float | None:
        """The score, waited for; None when the pipeline stops meanwhile or the model went away."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self._slot.closed:
            try:
                return future.result(IDLE_SECONDS)
            except CancelledError:
                return None
            except NotYet:
                if future.done():
                    raise  # the model's own time-out
            if time.monotonic() > deadline:
                future.cancel()
                raise XaivaError("Scoring", f"the model has not answered for {ANSWER_SECONDS:g} s", "see its state")
        future.cancel()
        return None

    def _idle(self, newest: Frame | None) -> None:
        """No frame came for a while: when the camera is lost, so is the sight of its anomaly."""
        life = self.source.status().life
        if life.state is CameraState.LIVE:
            return
        if newest is not None and not self._anomalies.idle:
            self._anomalies.end(newest.arrived, self.request)
        seconds = time.monotonic() - (newest.arrived if newest is not None else self._began)
        waiting = life.failure is not None and life.failure.cause is Cause.NO_KEY_FRAME
        waiting = waiting and life.state is CameraState.CONNECTING  # its packets arrive
        told = self._lost is not None or life.state is CameraState.STOPPED or waiting
        if not told and life.failure is not None and seconds > LOST_SECONDS:
            kind, since = AlertKind.DISCONNECTED, time.time() - seconds
            self._lost = CameraAlert(kind=kind, since=since, reason=life.failure.reason)
            self._tools.observer.alert(self.request, self._lost, True)

    def _found(self) -> None:
        lost, self._lost = self._lost, None
        if lost is not None:
            self._tools.observer.alert(self.request, lost, False)

    def _say_goodbye(self, newest: Frame | None) -> None:
        try:
            self._found()
            for alert in self._view.alerts:
                self._tools.observer.alert(self.request, alert, False)
            if newest is not None:
                self._anomalies.end(newest.arrived, self.request)
        except Exception:
            logger.exception("camera %s: the end of its event could not be kept", self.request.id)

    def _note(self, error: Exception) -> None:
        if not self._error:
            logger.exception("camera %s: deciding failed", self.request.id)
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        told = f"{error.what}: {error.why}" if isinstance(error, XaivaError) else type(error).__name__
        self._error = f"deciding failed: {told}"


def _kept(request: CameraRequest) -> float:
    return request.pre_roll + request.detection.minimum_seconds + MARGIN


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _retry_in(source: SourceStatus) -> float | None:
    if source.life.state is not CameraState.DISCONNECTED or source.life.retry_at is None:
        return None
    return round(max(0.0, source.life.retry_at - time.monotonic()), 1)
