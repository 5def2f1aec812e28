"""All cameras of the service."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from core.errors import InputError, XaivaError
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.pipeline import CameraPipeline
from core.inference.models.detector import Detector
from core.inference.models.motion import MotionDetector
from core.inference.schemas import CameraRequest, CameraStatus

logger = logging.getLogger(__name__)

WATCH_SECONDS = 0.25
STOP_SECONDS = 4.0


class UnknownCamera(InputError):
    """There is no camera of that id."""


class CameraExists(InputError):
    """There is one of that id already."""


class TooManyCameras(XaivaError):
    """The service holds as many as it may."""


class MultiCameraManager:
    """Adds, removes and watches cameras; one never waits for another. Every method may be called from any thread."""

    def __init__(
        self,
        *,
        maximum: int = 16,
        backoff: Backoff | None = None,
        make_detector: Callable[[], Detector] = MotionDetector,
    ) -> None:
        self._maximum = maximum
        self._backoff = backoff
        self._make_detector = make_detector
        self._pipelines: dict[str, CameraPipeline] = {}
        self._lock = threading.Lock()
        self._running = False
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watch-cameras", daemon=True)

    @property
    def watching(self) -> bool:
        """Whether the thread that finds stuck cameras is alive."""
        return self._watcher.is_alive()

    def start(self) -> None:
        """Start every camera; those added later start at once. Called once."""
        with self._lock:
            self._running = True
            for pipeline in self._pipelines.values():
                pipeline.start()
        self._watcher.start()

    def stop(self) -> list[str]:
        """Stop all of them at the same time, within 5 s; returns the ids whose threads hang in native code."""
        self._stop.set()
        with self._lock:
            self._running = False
            pipelines = list(self._pipelines.values())
        for pipeline in pipelines:
            pipeline.signal_stop()
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and not all(pipeline.ended for pipeline in pipelines):
            time.sleep(0.02)
        return [pipeline.request.id for pipeline in pipelines if not pipeline.ended]

    def add(self, request: CameraRequest) -> CameraStatus:
        """Add a camera and start it when the others run.

        Raises InputError (a bad source), CameraExists, TooManyCameras.
        """
        pipeline = CameraPipeline(request, self._make_detector(), self._backoff)
        with self._lock:
            if request.id in self._pipelines:
                raise CameraExists(f"Camera {request.id}", "there is one with that id", "remove it, or take another id")
            if len(self._pipelines) >= self._maximum:
                why = f"the service holds {self._maximum} cameras already"
                raise TooManyCameras(f"Camera {request.id}", why, "remove one first")
            self._pipelines[request.id] = pipeline
            if self._running:
                pipeline.start()
        return pipeline.status()

    def remove(self, camera: str) -> None:
        """Stop a camera and forget it. Raises UnknownCamera."""
        with self._lock:
            pipeline = self._pipelines.pop(camera, None)
        if pipeline is None:
            raise _unknown(camera)
        if not pipeline.stop():
            logger.warning("camera %s: its reader hangs; it is cut off and ends by its time-out", camera)

    def get(self, camera: str) -> CameraPipeline:
        """The pipeline of a camera. Raises UnknownCamera."""
        with self._lock:
            pipeline = self._pipelines.get(camera)
        if pipeline is None:
            raise _unknown(camera)
        return pipeline

    def statuses(self) -> list[CameraStatus]:
        """Snapshots, in the order the cameras were added."""
        with self._lock:
            pipelines = list(self._pipelines.values())
        return [pipeline.status() for pipeline in pipelines]

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_SECONDS):
            with self._lock:
                pipelines = list(self._pipelines.values())
            for pipeline in pipelines:
                pipeline.source.watch()


def _unknown(camera: str) -> UnknownCamera:
    return UnknownCamera(f"Camera {camera}", "there is no camera with that id", "list them: GET /status")
