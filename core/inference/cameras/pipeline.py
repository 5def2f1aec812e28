"""The pipeline of one camera, from source to decision: sampling, zones, scoring, anomalies and alerts."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as ResultTimeout
from dataclasses import dataclass, field
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from core.api_schema import AlertKind, CameraAlert, CameraRequest, CameraState, CameraStatus
from core.errors import XaivaError
from core.inference.cameras.anomaly_tracker import RING_MARGIN_SECONDS, AnomalyTracker
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.conversion import encode_jpeg
from core.inference.cameras.failures import Cause
from core.inference.cameras.frames import Frame, FrameSampler, LatestFrame, RateMeter
from core.inference.cameras.login_backoff import LoginBackoff
from core.inference.cameras.observer import Observer
from core.inference.cameras.recorder import ClipRecorder
from core.inference.cameras.regions import RegionMask
from core.inference.cameras.restart_budget import CameraTimes
from core.inference.cameras.source import STOP_SECONDS, CameraSource, SourceStatus
from core.inference.cameras.source_address import parse_source
from core.inference.cameras.tamper_detection import TamperDetector, TamperTimes
from core.inference.models.detector import Sample
from core.inference.models.scorer import Scorer
from core.inference.schedule import is_open

logger = logging.getLogger(__name__)

SCORE_HISTORY = 60  # for the sparkline
LATENCY_HISTORY = 300  # a minute at five scores a second, enough for a 99th percentile
IDLE_SECONDS = 0.5  # how long the scoring thread waits for a frame before it checks the connection

FrameListener = Callable[["SampledFrame"], None]


class NoPicture(XaivaError):
    """The camera has no current picture."""


@dataclass(frozen=True)
class PipelineContext:
    """What the pipelines of all cameras share."""

    observer: Observer
    time_zone: ZoneInfo
    backoff: Backoff | None = None
    login_backoff: LoginBackoff = field(default_factory=LoginBackoff)
    tamper_times: TamperTimes | None = None
    times: CameraTimes = field(default_factory=CameraTimes)


@dataclass(frozen=True)
class PipelineConfig:
    """The settings for scoring a frame; replaced as a whole, so that each frame sees a consistent set."""

    request: CameraRequest
    scorer: Scorer
    regions: RegionMask


@dataclass(frozen=True)
class SampledFrame:
    """One sampled frame, as frame listeners get it."""

    frame: Frame
    regions: RegionMask

    def sample(self, width: int, height: int, pixel_format: str) -> Sample:
        """The frame as a detector's input: uint8, height x width (x channels), with zones and masks applied."""
        return self.regions.sample(self.frame, width, height, pixel_format)


class CameraPipeline:
    """Owns a source and a scoring thread. Raises InputError for an invalid source.

    Only the scoring thread writes its fields, each as a whole and never in place, so that `status` needs no lock;
    scores and latencies are copied in one step. `update` replaces the configuration and the sampler in the same way.
    """

    def __init__(
        self,
        request: CameraRequest,
        scorer: Scorer,
        context: PipelineContext,
        listeners: list[FrameListener] | None = None,
    ) -> None:
        self._config = PipelineConfig(request, scorer, RegionMask(request))
        self._context = context
        self._listeners = listeners if listeners is not None else []
        self._recorder = ClipRecorder(_ring_seconds(request))
        self._anomaly_tracker = AnomalyTracker(context.observer, self._recorder)
        self._tamper_detector = TamperDetector(context.tamper_times)
        self.source = CameraSource(
            request.id,
            parse_source(request.source),
            self._offer,
            self._recorder,
            timeout=request.timeout,
            transport=request.transport,
            loop=request.loop,
            poll_interval=request.poll_interval,
            backoff=context.backoff,
            login_backoff=context.login_backoff,
        )
        self._sampler = FrameSampler(request.fps)
        self._latest_frame = LatestFrame()
        self._thread: threading.Thread | None = None
        self._rate = RateMeter()
        self._scores: deque[float] = deque(maxlen=SCORE_HISTORY)
        self._latencies: deque[float] = deque(maxlen=LATENCY_HISTORY)
        self._newest_sampled: Frame | None = None  # for snapshots
        self._started = time.monotonic()
        self._disconnected_alert: CameraAlert | None = None
        self._scoring_context: tuple[int, RegionMask, Scorer] | None = None
        self._scheduled = True
        self._error = ""
        self._failing_since: float | None = None

    @property
    def request(self) -> CameraRequest:
        return self._config.request

    def start(self) -> None:
        """Begin reading and scoring. A stopped pipeline cannot be started again."""
        self._thread = threading.Thread(target=self._decide, name=f"decide-{self.request.id}", daemon=True)
        self._thread.start()
        self.source.start()

    def update(self, request: CameraRequest, scorer: Scorer) -> None:
        """Use new settings from the next frame on, without reconnecting.

        The settings in `camera.RECONNECT_FIELDS` do not change by it.
        """
        if request.fps != self._config.request.fps:
            self._sampler = FrameSampler(request.fps)
        self._recorder.keep_seconds(_ring_seconds(request))
        before = self._config
        same_regions = _sampling(request) == _sampling(before.request)
        self._config = PipelineConfig(request, scorer, before.regions if same_regions else RegionMask(request))

    def signal_stop(self) -> None:
        """Stop reading and scoring, without waiting for the threads."""
        self.source.signal_stop()
        self._latest_frame.close()
        self._recorder.disconnected()

    def stop(self) -> bool:
        """Stop from any state, within 2 s. Returns False when a thread hangs; it then ends after its time-outs."""
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
        """Whether no thread of the pipeline runs and every clip is closed."""
        deciding = self._thread is not None and self._thread.is_alive()
        return self.source.ended and not deciding and not self._recorder.open_clips()

    def broken(self) -> str:
        """Why the pipeline must be replaced, as a sentence; empty when it works."""
        since, state = self._failing_since, self.source.status().connection.state
        if since is not None and time.monotonic() - since > self._context.times.broken:
            return self._error
        threads_ended = self._thread is not None and (not self._thread.is_alive() or self.source.ended)
        return "its thread died" if threads_ended and state is not CameraState.STOPPED else ""

    def status(self) -> CameraStatus:
        source, config = self.source.status(), self._config
        live = source.connection.state is CameraState.LIVE
        scores, latencies = list(self._scores), sorted(self._latencies)
        return CameraStatus(
            id=config.request.id,
            name=config.request.name or config.request.id,
            source=self.source.address.redacted,
            state=source.connection.state,
            cause=source.connection.failure.cause.value if source.connection.failure else "",
            reason=source.connection.failure.reason if source.connection.failure else "",
            width=source.width,
            height=source.height,
            codec=source.codec,
            fps=round(source.fps, 2),
            processed_fps=round(self._rate.value(), 2) if live else 0.0,
            frames=source.frames,
            dropped=self._latest_frame.dropped,
            damaged=source.damaged,
            last_frame_age=_rounded(source.age),
            latency=_rounded(latencies[len(latencies) // 2]) if live and latencies else None,
            latency_p99=_rounded(latencies[int(len(latencies) * 0.99)]) if live and latencies else None,
            score=_rounded(scores[-1]) if live and scores and self._scheduled else None,
            scores=[round(score, 4) for score in scores],
            threshold=config.request.detection.threshold,
            reconnects=max(0, source.connection.connections - 1),
            retry_in=_retry_in(source),
            since=source.connection.since,
            error=self._error,
            alerts=self._tamper_detector.alerts if live else [],
            anomaly=self._anomaly_tracker.event,
            scheduled=self._scheduled,
            model=config.scorer.key,
            product=config.request.detection.product,
            vram=config.scorer.cost,
            decode_ms=None if source.cost is None else round(1000 * source.cost, 3),
            clock_rate=_rounded(source.clock_rate),
        )

    def snapshot(self) -> tuple[bytes, float]:
        """The newest sampled frame as JPEG, and its age in seconds. Raises NoPicture when the camera is not live."""
        frame = self._newest_sampled
        if frame is None or self.source.status().connection.state is not CameraState.LIVE:
            raise NoPicture(f"Camera {self.request.id}", "it is not live", "see its status")
        return encode_jpeg(frame.image), time.monotonic() - frame.arrived

    def _offer(self, frame: Frame) -> None:
        if self._sampler.due(time.monotonic()):
            self._latest_frame.put(frame)

    def _decide(self) -> None:
        newest: Frame | None = None
        while not self._latest_frame.closed:
            frame = self._latest_frame.take(IDLE_SECONDS)
            try:
                if frame is None:
                    self._check_disconnected(newest)
                    continue
                before, newest = newest or frame, frame
                self._process(frame, before)
                self._error, self._failing_since = "", None
            except Exception as error:  # one bad frame or model must not end the camera; the status shows the error
                self._record_failure(error)
        self._close_open_alerts(newest)

    def _process(self, frame: Frame, before: Frame) -> None:
        config = self._config
        scoring_context = (frame.connection, config.regions, config.scorer)
        if scoring_context != self._scoring_context:  # another view: what detectors remember of the old one is useless
            self._scoring_context = scoring_context
            self._anomaly_tracker.end(before.arrived, config.request)
            config.scorer.forget(config.request.id)
        self._newest_sampled = frame
        self._clear_disconnected()
        for alert, active in self._tamper_detector.feed(frame):
            self._context.observer.alert(config.request, alert, active)
        for listener in list(self._listeners):
            listener(SampledFrame(frame, config.regions))
        self._scheduled = is_open(config.request.schedule, datetime.now(timezone.utc), self._context.time_zone)
        if self._scheduled:
            self._score(frame, config)
        else:
            self._anomaly_tracker.end(frame.arrived, config.request)

    def _score(self, frame: Frame, config: PipelineConfig) -> None:
        scorer = config.scorer
        sample = config.regions.sample(frame, scorer.width, scorer.height, scorer.pixel_format)
        score = self._wait_for_score(scorer.submit(sample))
        if score is None:
            return
        self._scores.append(score)
        self._latencies.append(time.monotonic() - frame.arrived)
        self._rate.tick()
        above = score >= config.request.detection.threshold
        zone = config.regions.zone_of(self._tamper_detector.difference()) if above else ""
        self._anomaly_tracker.feed(score, frame, zone, config.request, scorer.key)

    def _wait_for_score(self, future: Future[float]) -> float | None:
        """Wait for the score; None when the pipeline stops or the model is closed meanwhile."""
        limit = self._context.times.score_timeout
        deadline = time.monotonic() + limit
        while not self._latest_frame.closed:
            try:
                return future.result(IDLE_SECONDS)
            except CancelledError:
                return None
            except ResultTimeout:
                if future.done():
                    raise  # a time-out inside the model
            if time.monotonic() > deadline:
                future.cancel()
                raise XaivaError("Scoring", f"the model has not answered for {limit:g} s", "see its state")
        future.cancel()
        return None

    def _check_disconnected(self, newest: Frame | None) -> None:
        """No frame arrived for a while: when the camera is disconnected, end its anomaly and raise the alert."""
        connection = self.source.status().connection
        if connection.state is CameraState.LIVE:
            return
        if newest is not None and not self._anomaly_tracker.idle:
            self._anomaly_tracker.end(newest.arrived, self.request)
        seconds = time.monotonic() - (newest.arrived if newest is not None else self._started)
        waiting = connection.failure is not None and connection.failure.cause is Cause.NO_KEY_FRAME
        waiting = waiting and connection.state is CameraState.CONNECTING  # packets arrive
        suppressed = self._disconnected_alert is not None or connection.state is CameraState.STOPPED or waiting
        if not suppressed and connection.failure is not None and seconds > self._context.times.disconnected_alert:
            kind, since = AlertKind.DISCONNECTED, time.time() - seconds
            self._disconnected_alert = CameraAlert(kind=kind, since=since, reason=connection.failure.reason)
            self._context.observer.alert(self.request, self._disconnected_alert, True)

    def _clear_disconnected(self) -> None:
        alert, self._disconnected_alert = self._disconnected_alert, None
        if alert is not None:
            self._context.observer.alert(self.request, alert, False)

    def _close_open_alerts(self, newest: Frame | None) -> None:
        try:
            self._clear_disconnected()
            for alert in self._tamper_detector.alerts:
                self._context.observer.alert(self.request, alert, False)
            if newest is not None:
                self._anomaly_tracker.end(newest.arrived, self.request)
        except Exception:
            logger.exception("camera %s: the end of its event could not be kept", self.request.id)

    def _record_failure(self, error: Exception) -> None:
        if not self._error:
            logger.exception("camera %s: scoring failed", self.request.id)
        if self._failing_since is None:
            self._failing_since = time.monotonic()
        error_text = error.summary if isinstance(error, XaivaError) else type(error).__name__
        self._error = f"scoring failed: {error_text}"


def _ring_seconds(request: CameraRequest) -> float:
    return request.pre_roll + request.detection.minimum_seconds + RING_MARGIN_SECONDS


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _retry_in(source: SourceStatus) -> float | None:
    if source.connection.state is not CameraState.DISCONNECTED or source.connection.retry_at is None:
        return None
    return round(max(0.0, source.connection.retry_at - time.monotonic()), 1)


def _sampling(request: CameraRequest) -> tuple[object, ...]:
    """The settings that a RegionMask holds."""
    return request.zones, request.masks, request.detection.product
