"""One camera of the manager: its settings, its lease of a model, its pipeline and its restart budget."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.api_schema import CameraRequest, CameraState, CameraStatus
from core.errors import XaivaError
from core.inference.cameras.pipeline import CameraPipeline, FrameListener, NoPicture, PipelineContext
from core.inference.cameras.restart_budget import RestartBudget
from core.inference.cameras.source_address import parse_source
from core.inference.models.scorer import Scorer

logger = logging.getLogger(__name__)

LeaseScorer = Callable[[CameraRequest], Scorer]

RECONNECT_FIELDS = ("source", "timeout", "transport", "loop", "poll_interval")  # a change needs a new connection
CHANGE_WAIT_SECONDS = 2.0  # how long a stop waits for another change (a model may be loading)


class Camera:
    """Thread-safe. Raises InputError for an invalid source."""

    def __init__(self, request: CameraRequest, lease_scorer: LeaseScorer, context: PipelineContext) -> None:
        self.request = request
        self._redacted_source = parse_source(request.source).redacted
        self._lease_scorer = lease_scorer
        self._context = context
        self._listeners: list[FrameListener] = []
        self._change_lock = threading.Lock()  # one change at a time; `status` does not take it
        self._should_run = False
        self._scorer: Scorer | None = None
        self._pipeline: CameraPipeline | None = None
        self._idle_status = (CameraState.STOPPED, "", time.time())  # the status without a pipeline
        self._restarts = RestartBudget(context.times)

    def start(self, *, retry: bool = False) -> None:
        """Lease the model, which blocks while it loads, and start; does nothing when the camera runs.

        Raises NoRoom and whatever leasing raises, and the camera is FAILED. With `retry` it is restarted instead, as
        often as the restart budget allows.
        """
        self._should_run = True
        with self._changing():
            self._restarts.reset()
            if self._pipeline is not None and self._pipeline.source.status().connection.state is CameraState.STOPPED:
                self._stop_and_release()  # a file was played to its end
            if self._pipeline is not None:
                return
            try:
                self._start_pipeline()
            except Exception as error:  # of any kind: one camera must not prevent the others from starting
                if not retry:
                    self._fail(_describe_error(error))
                    raise
                self._plan_restart(_describe_error(error))

    def stop(self, *, wait_seconds: float = CHANGE_WAIT_SECONDS) -> None:
        """Stop from any state, within 5 s. A hanging thread is abandoned and ends after its time-outs."""
        self.signal_stop()
        if not self._change_lock.acquire(timeout=wait_seconds):
            return  # the other change stops the camera when it is done
        try:
            self._should_run = False
            self._restarts.cancel()
            self._set_idle_status(CameraState.STOPPED, "")
            self._stop_and_release()
        finally:
            self._change_lock.release()

    def signal_stop(self) -> None:
        """Begin to stop without waiting for the threads."""
        self._should_run = False
        pipeline = self._pipeline
        if pipeline is not None:
            pipeline.signal_stop()

    @property
    def ended(self) -> bool:
        """Whether none of the camera's threads runs."""
        pipeline = self._pipeline
        return pipeline is None or pipeline.ended

    @property
    def active(self) -> bool:
        """Whether the camera is started; also true while it is disconnected or waits for a restart."""
        pipeline = self._pipeline
        if pipeline is None:
            return self._restarts.due is not None
        return pipeline.source.status().connection.state is not CameraState.STOPPED

    def update(self, request: CameraRequest) -> None:
        """Apply new settings; reconnects only when one of RECONNECT_FIELDS changed.

        Raises InputError, NoRoom and whatever leasing raises; the old settings then stay in effect.
        """
        redacted = parse_source(request.source).redacted
        with self._changing():
            before, redacted_before = self.request, self._redacted_source
            reconnect = any(getattr(before, name) != getattr(request, name) for name in RECONNECT_FIELDS)
            if reconnect:
                self._context.login_backoff.forget(parse_source(request.source))  # somebody changed it: try immediately
            if self._pipeline is not None:
                self._apply_settings(self._pipeline, request)
                if reconnect:
                    self._reconnect(request)
            self.request, self._redacted_source = request, redacted
        if before.enabled and not request.enabled:
            self.stop()
        elif request.enabled and not before.enabled:
            try:
                self.start()
            except Exception:
                self.request, self._redacted_source = before, redacted_before
                self.stop()
                raise

    def watch(self) -> None:
        """Detect a stuck reader and replace a broken pipeline. To be called a few times a second."""
        pipeline = self._pipeline
        if pipeline is not None:
            pipeline.source.watch()
            if self._should_run and (why := pipeline.broken()):
                self._replace_broken(pipeline, why)
        elif self._restarts.take_due(time.monotonic()):
            threading.Thread(target=self._restart, name=f"restart-{self.request.id}", daemon=True).start()

    def status(self) -> CameraStatus:
        pipeline, restart_at, (state, reason, since) = self._pipeline, self._restarts.due, self._idle_status
        if pipeline is not None:
            return pipeline.status().model_copy(update={"restarts": self._restarts.count})
        return CameraStatus(
            id=self.request.id,
            name=self.request.name or self.request.id,
            source=self._redacted_source,
            state=state,
            reason=reason,
            since=since,
            threshold=self.request.detection.threshold,
            product=self.request.detection.product,
            restarts=self._restarts.count,
            retry_in=None if restart_at is None else round(max(0.0, restart_at - time.monotonic()), 1),
        )

    def snapshot(self) -> tuple[bytes, float]:
        """The newest sampled frame as JPEG, and its age in seconds. Raises NoPicture when the camera is not live."""
        pipeline = self._pipeline
        if pipeline is None:
            raise NoPicture(f"Camera {self.request.id}", "it is not live", "see its status")
        return pipeline.snapshot()

    def load(self) -> float | None:
        """The CPU cores used for reading and decoding; None while not measured."""
        pipeline = self._pipeline
        return None if pipeline is None else pipeline.source.status().load

    def add_frame_listener(self, callback: FrameListener) -> Callable[[], None]:
        """Call `callback` with each sampled frame, in the pipeline's thread, until the returned function is called."""
        self._listeners.append(callback)

        def close() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return close

    # -- one change at a time -------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._change_lock:
            try:
                yield
            finally:
                if not self._should_run and self._scorer is not None:  # stop() gave up waiting for this change
                    self._set_idle_status(CameraState.STOPPED, "")
                    self._stop_and_release()

    def _start_pipeline(self) -> None:
        self._set_idle_status(CameraState.CONNECTING, "its model is loading")
        try:
            self._scorer = self._lease_scorer(self.request)
            if self._should_run:
                self._pipeline = CameraPipeline(self.request, self._scorer, self._context, self._listeners)
                self._pipeline.start()
        except Exception:
            self._release_lease()
            raise

    def _stop_and_release(self) -> None:
        if self._pipeline is not None:
            self._stop_pipeline(self._pipeline)
        self._release_lease()

    def _stop_pipeline(self, pipeline: CameraPipeline) -> None:
        if not pipeline.stop():
            logger.warning("camera %s: a thread hangs; it is abandoned and ends after its time-outs", self.request.id)

    def _release_lease(self) -> None:
        """Release the lease, and the pipeline without waiting for its threads."""
        if self._pipeline is not None:
            self._pipeline.signal_stop()
        scorer, self._pipeline, self._scorer = self._scorer, None, None
        if scorer is not None:
            scorer.forget(self.request.id)
            scorer.release()

    def _apply_settings(self, pipeline: CameraPipeline, request: CameraRequest) -> None:
        """Apply settings without reconnecting; leases another model when the detector changed."""
        assert self._scorer is not None
        before = self.request.detection
        scorer = self._scorer
        if (before.detector, before.model) != (request.detection.detector, request.detection.model):
            scorer = self._lease_scorer(request)
        pipeline.update(request, scorer)
        if scorer is not self._scorer:
            self._scorer.forget(request.id)
            self._scorer.release()
            self._scorer = scorer

    def _reconnect(self, request: CameraRequest) -> None:
        """Start a new pipeline with the present lease."""
        assert self._pipeline is not None
        assert self._scorer is not None
        self._stop_pipeline(self._pipeline)
        self._scorer.forget(request.id)
        self._pipeline = CameraPipeline(request, self._scorer, self._context, self._listeners)
        self._pipeline.start()

    # -- the restart budget ---------------------------------------------------------------------------------------

    def _replace_broken(self, pipeline: CameraPipeline, why: str) -> None:
        if not self._change_lock.acquire(blocking=False):
            return  # it is being changed: the next call sees the result
        try:
            if pipeline is self._pipeline and self._should_run:
                self._plan_restart(why)
                self._release_lease()
        finally:
            self._change_lock.release()

    def _plan_restart(self, why: str) -> None:
        delay = self._restarts.failed(time.monotonic())
        if delay is None:
            self._fail(f"{why}; {len(self._context.times.restart_delays)} restarts did not help")
            return
        self._set_idle_status(CameraState.DISCONNECTED, f"{why}; it will be restarted")
        logger.warning("camera %s: %s; it is started again in %g s", self.request.id, why, delay)

    def _restart(self) -> None:
        with self._changing():
            if self._should_run and self._pipeline is None:
                try:
                    self._start_pipeline()
                except Exception as error:
                    self._plan_restart(_describe_error(error))

    def _fail(self, reason: str) -> None:
        self._restarts.cancel()
        self._set_idle_status(CameraState.FAILED, reason)
        logger.error("camera %s failed: %s", self.request.id, reason)

    def _set_idle_status(self, state: CameraState, reason: str) -> None:
        self._idle_status = (state, reason, time.time())


def _describe_error(error: Exception) -> str:
    if isinstance(error, XaivaError):
        return error.summary
    logger.error("an unexpected error", exc_info=error)
    return f"an unexpected error ({type(error).__name__})"
