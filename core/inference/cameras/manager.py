"""The manager of all cameras: adds, changes, removes, admits and watches them."""

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
from core.api_schema.event_types import INSPECTION
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
from core.inference.cameras.restart_budget import CameraTimes
from core.inference.cameras.source_address import parse_source
from core.inference.cameras.tamper_detection import TamperTimes

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.25
STOP_SECONDS = 3.0
HEAP_TRIM_SECONDS = 60.0
MAX_CONNECTION_TESTS = 4  # each decodes beside the cameras, and may wait for its time-outs
TEST_TIMEOUTS = 5  # for a test: four time-outs to resolve and open the source, one for its first frame
TEST_GRACE = 5.0  # additional seconds, to measure and for a slow name server


class UnknownCamera(InputError):
    """There is no camera with that id."""


class CameraExists(InputError):
    """A camera with that id already exists."""


class TooManyCameras(XaivaError):
    """The service has its maximum number of cameras."""


class MultiCameraManager:
    """Thread-safe; no camera waits for another.

    `observer` receives events and alerts. `lease_scorer` leases a camera's model; it may block while the model loads,
    and may raise. Schedules are in `time_zone`.
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
        times: CameraTimes | None = None,
        cores: float | None = None,
    ) -> None:
        self._lease_scorer = lease_scorer
        self.context = PipelineContext(
            observer, time_zone, backoff, login_backoff or LoginBackoff(), tamper_times, times or CameraTimes()
        )
        self._maximum = maximum
        self._cores = usable_cores() if cores is None else cores
        self._cameras: dict[str, Camera] = {}
        self._starting: Counter[str] = Counter()  # ids of admitted cameras that do not run yet
        self._running = False
        self._lock = threading.Lock()  # guards the three above, which change together
        self._tests = Bulkhead("Connection tests", MAX_CONNECTION_TESTS, retry_after=5)
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watch-cameras", daemon=True)

    @property
    def watching(self) -> bool:
        """Whether the thread that watches for stuck cameras is alive."""
        return self._watcher.is_alive()

    def start(self) -> None:
        """Start every enabled camera in the background; cameras added later start immediately. To be called once.

        A camera whose model is refused is restarted as often as the restart budget allows, then FAILED.
        """
        limit_heaps()
        with self._lock:
            self._running = True
            waiting = [camera for camera in self._cameras.values() if camera.request.enabled]
            self._starting.update(camera.request.id for camera in waiting)
        self._watcher.start()
        threading.Thread(target=self._start_all, args=(waiting,), name="start-cameras", daemon=True).start()

    def stop(self) -> list[str]:
        """Stop all cameras in parallel, within 3 s. Returns the ids of those that hang in native code."""
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

        A camera whose source this version rejects is only logged, so that the others are watched.
        """
        for request in requests:
            try:
                camera = Camera(request, self._lease_scorer, self.context)
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
        if request.id == INSPECTION:
            raise InputError(
                f"Camera {request.id}", "this id is that of the events of inspections", "choose another id"
            )
        camera = Camera(request, self._lease_scorer, self.context)
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
        """Change the camera with that id; it reconnects only when its source changed.

        Raises UnknownCamera, InputError, NoCores, and whatever leasing raises; the old settings then stay in effect.
        """
        camera = self.get(request.id)
        if request.enabled and not camera.request.enabled:
            with self._admitted(request.id):
                camera.update(request)
        else:
            camera.update(request)
        return camera.status()

    def remove(self, camera: str) -> None:
        """Stop and remove a camera. Raises UnknownCamera."""
        with self._lock:
            removed = self._cameras.pop(camera, None)
        if removed is None:
            raise unknown_camera(camera)
        removed.stop()

    def start_camera(self, camera: str) -> CameraStatus:
        """Start a stopped or failed camera. Raises UnknownCamera, NoCores, and whatever leasing raises."""
        with self._admitted(camera) as admitted:
            admitted.start()
        return admitted.status()

    def stop_camera(self, camera: str) -> CameraStatus:
        """Stop a camera until it, or the service, is started again. Raises UnknownCamera."""
        stopped = self.get(camera)
        stopped.stop()
        return stopped.status()

    def restart_camera(self, camera: str) -> CameraStatus:
        """Stop a camera and start it with a new lease of its model; a refused login is tried immediately.

        Raises the same as `start_camera`.
        """
        with self._admitted(camera) as admitted:
            admitted.stop()
            self.context.login_backoff.forget(parse_source(admitted.request.source))
            admitted.start()
        return admitted.status()

    def test(self, request: CameraRequest) -> ConnectionTest:
        """Test one connection; the camera need not exist.

        Raises InputError, and TooManyRequests when too many tests are running.
        """
        began = time.monotonic()
        test = self._tests.submit(lambda: run_connection_test(request))
        try:
            result = test.result(TEST_TIMEOUTS * request.timeout + TEST_GRACE)
        except ResultTimeout:  # a mount, driver or name server hangs; the thread keeps its place until it ends
            elapsed = time.monotonic() - began
            return ConnectionTest(
                ok=False,
                cause=Cause.TIMEOUT.value,
                reason=f"connecting hung and was abandoned after {elapsed:.0f} s",
                seconds=round(elapsed, 2),
            )
        address = parse_source(request.source)
        if result.ok:
            self.context.login_backoff.accepted(address)
        elif result.cause == Cause.AUTH.value:
            self.context.login_backoff.refused(address)
        return result

    def add_frame_listener(self, camera: str, callback: FrameListener) -> Callable[[], None]:
        """Call `callback` with each sampled frame of a camera, in its thread, until the returned function is called.

        Raises UnknownCamera.
        """
        return self.get(camera).add_frame_listener(callback)

    def get(self, camera: str) -> Camera:
        """The camera with that id. Raises UnknownCamera."""
        with self._lock:
            entry = self._cameras.get(camera)
        if entry is None:
            raise unknown_camera(camera)
        return entry

    def statuses(self) -> list[CameraStatus]:
        """The status of every camera, in the order they were added."""
        return [camera.status() for camera in self._all()]

    def _all(self) -> list[Camera]:
        with self._lock:
            return list(self._cameras.values())

    def _check_limit(self, camera: str) -> None:
        if camera in self._cameras:
            raise CameraExists(f"Camera {camera}", "a camera with that id exists", "remove it, or choose another id")
        if len(self._cameras) >= self._maximum:
            why = f"the service has {len(self._cameras)} cameras; its maximum is {self._maximum}"
            raise TooManyCameras(f"Camera {camera}", why, "remove one first, or raise XAIVA_MAX_CAMERAS")

    def _admit(self, camera: str) -> None:
        """Raise NoCores when decoding the camera beside the others needs too much CPU. The caller holds the lock."""
        others = {name: other for name, other in self._cameras.items() if name != camera}
        loads = [other.load() for name, other in others.items() if other.active or self._starting[name]]
        admit(camera, loads, self._cores)

    @contextmanager
    def _admitted(self, camera: str) -> Iterator[Camera]:
        """Admit a camera that is started inside the block; other admissions count it meanwhile.

        A running camera is already admitted. Raises UnknownCamera and NoCores.
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
        """The start is over: from now on the camera counts only while it runs."""
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
    """The error for an unknown camera id."""
    remedy = "list the cameras: xaiva camera list, or GET /cameras"
    return UnknownCamera(f"Camera {camera}", "there is no camera with that id", remedy)
