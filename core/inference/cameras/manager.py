"""All cameras of the service."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import TimeoutError as ResultTimeout
from contextlib import contextmanager
from zoneinfo import ZoneInfo

from core.api_schema import CameraRequest, CameraStatus, ConnectionTest
from core.errors import InputError, XaivaError
from core.inference.bulkhead import Bulkhead
from core.inference.cameras.admission import admit, usable_cores
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.camera import Camera, LeaseScorer
from core.inference.cameras.connection_test import run_connection_test
from core.inference.cameras.failures import Cause
from core.inference.cameras.heap_trim import limit_heaps, trim_heap
from core.inference.cameras.login_backoff import LoginBackoff
from core.inference.cameras.observer import Observer
from core.inference.cameras.pipeline import FrameListener, PipelineContext
from core.inference.cameras.source_address import parse_source
from core.inference.cameras.tamper_detection import TamperTimes

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.25
STOP_SECONDS = 3.0
HEAP_TRIM_SECONDS = 60.0
MAX_CONNECTION_TESTS = 4  # connection tests: each decodes beside the cameras, and may wait for its time-outs
TEST_TIMEOUTS = 5  # time-outs that a test may take: four to look up and open the source, one for its first frame
TEST_GRACE = 5.0  # seconds more, to measure and for a slow name server


class UnknownCamera(InputError):
    """There is no camera of that id."""


class CameraExists(InputError):
    """There is one of that id already."""


class TooManyCameras(XaivaError):
    """The service holds as many as it may."""


class MultiCameraManager:
    """Adds, changes, removes and watches cameras; one never waits for another. Any thread may call any method.

    `observer` is told of events and alerts, `lease` gives a camera its share of a model (it may block while that
    loads, and refuse), `zone` is the one schedules are meant in.
    """

    def __init__(
        self,
        observer: Observer,
        lease_scorer: LeaseScorer,
        *,
        time_zone: ZoneInfo,
        maximum: int = 16,
        backoff: Backoff | None = None,
        login_backoff: LoginBackoff | None = None,
        tamper_times: TamperTimes | None = None,
        cores: float | None = None,
    ) -> None:
        self._lease_scorer = lease_scorer
        self._context = PipelineContext(observer, time_zone, backoff, login_backoff or LoginBackoff(), tamper_times)
        self._maximum = maximum
        self._cores = usable_cores() if cores is None else cores
        self._cameras: dict[str, Camera] = {}
        self._starting: Counter[str] = Counter()  # ids of those that were admitted and do not run yet
        self._running = False
        self._lock = threading.Lock()  # guards the three above: who is admitted and who runs change together
        self._tests = Bulkhead("Connection tests", MAX_CONNECTION_TESTS, retry_after=5)
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watch-cameras", daemon=True)

    @property
    def watching(self) -> bool:
        """Whether the thread that finds stuck cameras is alive."""
        return self._watcher.is_alive()

    def start(self) -> None:
        """Start every enabled camera, one after the other and without waiting; those added later start at once.

        One whose model is refused tries again, as often as the restart budget allows, then is FAILED. Called once.
        """
        limit_heaps()
        with self._lock:
            self._running = True
            waiting = [camera for camera in self._cameras.values() if camera.request.enabled]
            self._starting.update(camera.request.id for camera in waiting)
        self._watcher.start()
        threading.Thread(target=self._start_all, args=(waiting,), name="start-cameras", daemon=True).start()

    def stop(self) -> list[str]:
        """Stop all of them at the same time, within 3 s; returns the ids of those that hang in native code."""
        self._stop.set()
        with self._lock:
            self._running = False
            cameras = list(self._cameras.values())
        for camera in cameras:
            camera.signal_stop()
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and not all(camera.ended for camera in cameras):
            time.sleep(0.02)
        hanging = [camera.request.id for camera in cameras if not camera.ended]
        for camera in cameras:
            if camera.request.id not in hanging:
                camera.stop(wait_seconds=max(0.0, deadline - time.monotonic()))
        return hanging

    def restore(self, requests: Iterable[CameraRequest]) -> None:
        """Before `start`: have the cameras of the last run again, also more than may be added now.

        One whose source is understood no longer is told of; it must not keep the others from being watched.
        """
        for request in requests:
            try:
                camera = Camera(request, self._lease_scorer, self._context)
            except InputError as error:
                logger.error("camera %s is left out: %s", request.id, error)
                continue
            with self._lock:
                self._cameras[request.id] = camera
        if len(self._cameras) > self._maximum:
            logger.warning("there are %d cameras; no more than %d can be added", len(self._cameras), self._maximum)

    def add(self, request: CameraRequest) -> CameraStatus:
        """Add a camera and, when the others run and it is enabled, start it, which may take its model's loading time.

        Raises InputError (a bad source), CameraExists, TooManyCameras, NoCores, and what leasing raises (NoRoom).
        """
        camera = Camera(request, self._lease_scorer, self._context)
        with self._lock:
            self._check_limit(request.id)
            if request.enabled:
                self._admit(request.id)
            self._cameras[request.id] = camera
            start = self._running and request.enabled
            if start:
                self._starting[request.id] += 1
        if start:
            try:
                camera.start()
            except XaivaError:
                with self._lock:
                    self._cameras.pop(request.id, None)
                raise
            finally:
                self._finish_starting(request.id)
        return camera.status()

    def update(self, request: CameraRequest) -> CameraStatus:
        """Change the camera of that id, and no other; its connection stays unless its source changed.

        Raises UnknownCamera, InputError, NoCores, and what leasing raises; the old settings go on then.
        """
        camera = self.get(request.id)
        if request.enabled and not camera.request.enabled:
            with self._admitted(request.id):
                camera.update(request)
        else:
            camera.update(request)
        return camera.status()

    def remove(self, camera: str) -> None:
        """Stop a camera and forget it. Raises UnknownCamera."""
        with self._lock:
            removed = self._cameras.pop(camera, None)
        if removed is None:
            raise unknown_camera(camera)
        removed.stop()

    def start_camera(self, camera: str) -> CameraStatus:
        """Start one that is stopped or failed. Raises UnknownCamera, NoCores, and what leasing raises."""
        with self._admitted(camera) as admitted:
            admitted.start()
        return admitted.status()

    def stop_camera(self, camera: str) -> CameraStatus:
        """Stop one until it is started again or the service is. Raises UnknownCamera."""
        stopped = self.get(camera)
        stopped.stop()
        return stopped.status()

    def restart_camera(self, camera: str) -> CameraStatus:
        """Stop it and start it again, with a new lease of its model; a refused login is tried at once.

        Raises as `start_camera`.
        """
        with self._admitted(camera) as admitted:
            admitted.stop()
            self._context.login_backoff.forget(parse_source(admitted.request.source))
            admitted.start()
        return admitted.status()

    def test(self, request: CameraRequest) -> ConnectionTest:
        """Try one connection and tell what came of it; the camera need not be known.

        Raises InputError, and TooManyRequests when as many are under way as may be.
        """
        began = time.monotonic()
        test = self._tests.submit(lambda: run_connection_test(request))
        try:
            result = test.result(TEST_TIMEOUTS * request.timeout + TEST_GRACE)
        except (
            ResultTimeout
        ):  # in a mount, a driver or a name server that hangs; its thread keeps its place until it ends
            elapsed = time.monotonic() - began
            return ConnectionTest(
                ok=False,
                cause=Cause.TIMEOUT.value,
                reason=f"connecting hung and was abandoned after {elapsed:.0f} s",
                seconds=round(elapsed, 2),
            )
        address = parse_source(request.source)
        if result.ok:
            self._context.login_backoff.accepted(address)
        elif result.cause == Cause.AUTH.value:
            self._context.login_backoff.refused(address)
        return result

    def add_frame_listener(self, camera: str, callback: FrameListener) -> Callable[[], None]:
        """Call `callback` with each sampled frame of a camera, in its thread, until what is returned is called.

        Raises UnknownCamera.
        """
        return self.get(camera).add_frame_listener(callback)

    def get(self, camera: str) -> Camera:
        """One camera. Raises UnknownCamera."""
        with self._lock:
            entry = self._cameras.get(camera)
        if entry is None:
            raise unknown_camera(camera)
        return entry

    def statuses(self) -> list[CameraStatus]:
        """Snapshots, in the order the cameras were added."""
        return [camera.status() for camera in self._all()]

    def _all(self) -> list[Camera]:
        with self._lock:
            return list(self._cameras.values())

    def _check_limit(self, camera: str) -> None:
        if camera in self._cameras:
            raise CameraExists(f"Camera {camera}", "a camera with that id exists", "remove it, or choose another id")
        if len(self._cameras) >= self._maximum:
            why = f"the service holds {len(self._cameras)} cameras, and may hold {self._maximum}"
            raise TooManyCameras(f"Camera {camera}", why, "remove one first, or raise XAIVA_MAX_CAMERAS")

    def _admit(self, camera: str) -> None:
        """Raise NoCores when decoding it beside the others would take too much. The caller holds the lock."""
        others = [
            other for name, other in self._cameras.items() if name != camera and (other.active or self._starting[name])
        ]
        admit(camera, [one.load() for one in others], self._cores)

    @contextmanager
    def _admitted(self, camera: str) -> Iterator[Camera]:
        """Admit a camera that is started inside the block; other admissions count it meanwhile.

        One that runs was admitted before. Raises UnknownCamera, and NoCores.
        """
        with self._lock:
            entry = self._cameras.get(camera)
            if entry is None:
                raise unknown_camera(camera)
            if not entry.active:
                self._admit(camera)
            self._starting[camera] += 1
        try:
            yield entry
        finally:
            self._finish_starting(camera)

    def _finish_starting(self, camera: str) -> None:
        """Its start has come to an end: from here on it counts as long as it runs."""
        with self._lock:
            self._starting -= Counter([camera])

    def _start_all(self, cameras: list[Camera]) -> None:
        for camera in cameras:
            if self._stop.is_set():
                return
            camera.start(retry=True)
            self._finish_starting(camera.request.id)

    def _watch(self) -> None:
        trim_at = time.monotonic() + HEAP_TRIM_SECONDS
        while not self._stop.wait(WATCH_SECONDS):
            for camera in self._all():
                camera.watch()
            if time.monotonic() >= trim_at:
                trim_heap()
                trim_at = time.monotonic() + HEAP_TRIM_SECONDS


def unknown_camera(camera: str) -> UnknownCamera:
    """The error for an id that no camera has."""
    remedy = "see: xaiva camera list, or GET /cameras"
    return UnknownCamera(f"Camera {camera}", "there is no camera with that id", remedy)
