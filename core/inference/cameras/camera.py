"""One camera of the manager: its settings, its share of a model, its pipeline, and how often that may break."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from core.errors import XaivaError
from core.inference.cameras.address import parse
from core.inference.cameras.pipeline import CameraPipeline, NoPicture, Tap, Tools
from core.inference.models.scorer import Scorer
from core.inference.schemas import CameraRequest, CameraState, CameraStatus

logger = logging.getLogger(__name__)

Lease = Callable[[CameraRequest], Scorer]

OF_THE_SOURCE = ("source", "timeout", "transport", "loop")  # a change of these needs a new connection
RESTARTS = (1.0, 5.0, 15.0, 30.0, 60.0)  # seconds to wait before each; one more failure is FAILED
FORGIVEN = 600.0  # seconds after which a restart no longer counts
PATIENCE = 4.0  # seconds that a stop waits for a start under way (its model may be loading)


class Camera:
    """Every method may be called from any thread. Raises InputError for a source that cannot be one."""

    def __init__(self, request: CameraRequest, lease: Lease, tools: Tools) -> None:
        self.request = request
        self._shown = parse(request.source).shown
        self._lease = lease
        self._tools = tools
        self._taps: list[Tap] = []
        self._changes = threading.Lock()  # one change at a time; never held while a status is taken
        self._wanted = False
        self._scorer: Scorer | None = None
        self._pipeline: CameraPipeline | None = None
        self._idle = (CameraState.STOPPED, "", time.time())  # what is said while there is no pipeline
        self._restarts: deque[float] = deque()
        self._restarted = 0
        self._restart_at: float | None = None

    def start(self, *, insist: bool = False) -> None:
        """Lease the model, which may take its loading time, and begin; nothing happens when it runs.

        Raises NoRoom and what else leasing raises; the camera is FAILED then. With `insist` it tries again instead, as
        often as the restart budget allows.
        """
        self._wanted = True
        with self._changes:
            self._restarts.clear()
            if self._pipeline is not None and self._pipeline.source.status().life.state is CameraState.STOPPED:
                self._end()  # a file that was played to its end
            if self._pipeline is None:
                self._begin_or_wait() if insist else self._begin()

    def stop(self, *, patience: float = PATIENCE) -> bool:
        """Stop from any state within 5 s; False when a thread hangs, which is cut off and ends by its time-outs."""
        self.signal_stop()
        if not self._changes.acquire(timeout=patience):
            return False  # whoever starts it sees that it is not wanted any more
        try:
            self._restart_at = None
            ended = self._end()
            self._say(CameraState.STOPPED, "")
            return ended
        finally:
            self._changes.release()

    def signal_stop(self) -> None:
        """Begin to stop, without waiting."""
        self._wanted = False
        pipeline = self._pipeline
        if pipeline is not None:
            pipeline.signal_stop()

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs."""
        pipeline = self._pipeline
        return pipeline is None or pipeline.ended

    def update(self, request: CameraRequest) -> None:
        """Take other settings: without a reconnection, unless the source itself changed.

        Raises InputError, NoRoom and what else leasing raises; the old settings go on then.
        """
        shown = parse(request.source).shown
        with self._changes:
            before = self.request
            if self._pipeline is not None:
                self._change(self._pipeline, request)
                if any(getattr(before, name) != getattr(request, name) for name in OF_THE_SOURCE):
                    self._renew(request)
            self.request, self._shown = request, shown
        if request.enabled != before.enabled:
            self.start() if request.enabled else self.stop()

    def watch(self) -> None:
        """Call a few times a second: sees a stuck reader, and replaces a pipeline that broke."""
        pipeline = self._pipeline
        if pipeline is not None:
            pipeline.source.watch()
            if self._wanted and (why := pipeline.broken()):
                self._broke(pipeline, why)
        elif self._restart_at is not None and time.monotonic() >= self._restart_at:
            self._restart_at = None
            threading.Thread(target=self._restart, name=f"restart-{self.request.id}", daemon=True).start()

    def status(self) -> CameraStatus:
        """A snapshot."""
        pipeline, (state, reason, since) = self._pipeline, self._idle
        if pipeline is not None:
            return pipeline.status().model_copy(update={"restarts": self._restarted})
        return CameraStatus(
            id=self.request.id,
            name=self.request.name or self.request.id,
            source=self._shown,
            state=state,
            reason=reason,
            since=since,
            threshold=self.request.detection.threshold,
            restarts=self._restarted,
            retry_in=None if self._restart_at is None else round(max(0.0, self._restart_at - time.monotonic()), 1),
        )

    def snapshot(self) -> tuple[bytes, float]:
        """The newest sampled frame as JPEG, and its age in seconds. Raises NoPicture when the camera is not live."""
        pipeline = self._pipeline
        if pipeline is None:
            raise NoPicture(f"Camera {self.request.id}", "it is not live", "its status says why")
        return pipeline.snapshot()

    def load(self) -> float | None:
        """The cores that reading and decoding it takes; None when that was not measured."""
        pipeline = self._pipeline
        return None if pipeline is None else pipeline.source.status().load

    def tap(self, callback: Tap) -> Callable[[], None]:
        """Call `callback` with each sampled frame, in the pipeline's thread, until what is returned is called."""
        self._taps.append(callback)

        def close() -> None:
            if callback in self._taps:
                self._taps.remove(callback)

        return close

    # -- one change at a time -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._say(CameraState.CONNECTING, "its model is being loaded")
        try:
            scorer = self._lease(self.request)
        except XaivaError as error:
            self._fail(f"{error.what}: {error.why}")
            raise
        if not self._wanted:
            scorer.release()
            self._say(CameraState.STOPPED, "")
            return
        self._scorer = scorer
        pipeline = CameraPipeline(self.request, scorer, self._tools, self._taps)
        pipeline.start()
        self._pipeline = pipeline
        if not self._wanted:  # stopped in this very moment
            pipeline.signal_stop()

    def _end(self) -> bool:
        pipeline, scorer = self._pipeline, self._scorer
        ended = pipeline.stop() if pipeline is not None else True
        self._pipeline = self._scorer = None
        if scorer is not None:
            scorer.forget(self.request.id)
            scorer.release()
        if not ended:
            logger.warning("camera %s: a thread hangs; it is cut off and ends by its time-out", self.request.id)
        return ended

    def _change(self, pipeline: CameraPipeline, request: CameraRequest) -> None:
        """Settings that need no connection; a lease of another model when it scores by another."""
        assert self._scorer is not None
        before = self.request.detection
        scorer = self._scorer
        if (before.detector, before.model) != (request.detection.detector, request.detection.model):
            scorer = self._lease(request)
        pipeline.update(request, scorer)
        if scorer is not self._scorer:
            self._scorer.forget(request.id)
            self._scorer.release()
            self._scorer = scorer

    def _renew(self, request: CameraRequest) -> None:
        """A new connection under the same lease."""
        assert self._pipeline is not None
        assert self._scorer is not None
        self._pipeline.stop()
        self._scorer.forget(request.id)
        self._pipeline = CameraPipeline(request, self._scorer, self._tools, self._taps)
        self._pipeline.start()

    # -- the restart budget ---------------------------------------------------------------------------------------

    def _broke(self, pipeline: CameraPipeline, why: str) -> None:
        if not self._changes.acquire(blocking=False):
            return  # somebody changes it: the next look sees what came of it
        try:
            if pipeline is not self._pipeline or not self._wanted:
                return
            now = time.monotonic()
            while self._restarts and now - self._restarts[0] > FORGIVEN:
                self._restarts.popleft()
            pipeline.signal_stop()
            self._pipeline = None
            scorer, self._scorer = self._scorer, None
            if scorer is not None:
                scorer.forget(self.request.id)
                scorer.release()
            self._plan_restart(why, now)
        finally:
            self._changes.release()

    def _plan_restart(self, why: str, now: float) -> None:
        if len(self._restarts) >= len(RESTARTS):
            self._fail(f"{why}; {len(self._restarts)} restarts did not help")
            return
        delay = RESTARTS[len(self._restarts)]
        self._restarts.append(now)
        self._restarted += 1
        self._restart_at = now + delay
        self._say(CameraState.DISCONNECTED, f"{why}; it starts again in a moment")
        logger.warning("camera %s: %s; it is started again in %g s", self.request.id, why, delay)

    def _restart(self) -> None:
        with self._changes:
            if self._wanted and self._pipeline is None:
                self._begin_or_wait()

    def _begin_or_wait(self) -> None:
        try:
            self._begin()
        except XaivaError as error:
            self._plan_restart(f"{error.what}: {error.why}", time.monotonic())

    def _fail(self, reason: str) -> None:
        self._restart_at = None
        self._say(CameraState.FAILED, reason)
        logger.error("camera %s failed: %s", self.request.id, reason)

    def _say(self, state: CameraState, reason: str) -> None:
        self._idle = (state, reason, time.time())
