"""The inference service: cameras, what is kept of them, and what it says of itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import psutil

from core.errors import XaivaError
from core.inference.cameras.manager import MultiCameraManager
from core.inference.saved import SavedCameras
from core.inference.schemas import API_VERSION, SERVICE_NAME, CameraRequest, CameraStatus, Health, ServiceStatus

logger = logging.getLogger(__name__)


class InferenceService:
    """One running service. Every method may be called from any thread.

    `fixed` cameras come from the command line or the environment: they are not saved, and win over saved ones.
    """

    def __init__(
        self, data: Path, fixed: Iterable[CameraRequest] = (), manager: MultiCameraManager | None = None
    ) -> None:
        self._saved = SavedCameras(data)
        self._manager = manager or MultiCameraManager()
        self._changing = threading.Lock()
        self._kept: dict[str, CameraRequest] = {}
        self._process = psutil.Process()
        self._started = time.time()
        self._begun = time.monotonic()
        self._ready = False
        self._complaints: list[str] = []
        for request in fixed:
            self._take(request)
        for request in self._saved.load():
            self._kept[request.id] = request
            if not self._known(request.id):
                self._take(request)

    def start(self) -> None:
        """Start the cameras; returns at once."""
        self._manager.start()
        self._ready = True

    def stop(self) -> None:
        """Stop the cameras, within 5 s."""
        self._ready = False
        for camera in self._manager.stop():
            logger.warning("camera %s: its reader hangs; left behind", camera)

    def health(self) -> Health:
        """Alive as long as stuck cameras are watched for, ready once they were started."""
        return Health(
            live=not self._ready or self._manager.watching,
            ready=self._ready,
            version=version(),
            detail="; ".join(self._complaints),
            service=SERVICE_NAME,
            api=API_VERSION,
        )

    def status(self) -> ServiceStatus:
        """A snapshot of everything."""
        return ServiceStatus(
            version=version(),
            started=self._started,
            uptime=round(time.monotonic() - self._begun, 1),
            rss=self._process.memory_info().rss,
            cameras=self._manager.statuses(),
        )

    def add_camera(self, request: CameraRequest) -> CameraStatus:
        """Add, start and keep a camera; one that cannot be kept is not added.

        Raises InputError, CameraExists, TooManyCameras, or XaivaError when it cannot be saved.
        """
        with self._changing:
            status = self._manager.add(request)
            try:
                self._saved.save([*self._kept.values(), request])
            except XaivaError:
                self._manager.remove(request.id)
                raise
            self._kept[request.id] = request
            return status

    def remove_camera(self, camera: str) -> None:
        """Stop and forget a camera. Raises UnknownCamera, or XaivaError when that cannot be saved."""
        with self._changing:
            self._manager.get(camera)
            kept = {key: request for key, request in self._kept.items() if key != camera}
            if camera in self._kept:
                self._saved.save(list(kept.values()))
            self._kept = kept
            self._manager.remove(camera)

    def snapshot(self, camera: str) -> bytes:
        """The newest picture as JPEG. Raises UnknownCamera, NoPicture."""
        return self._manager.get(camera).snapshot()[0]

    def _take(self, request: CameraRequest) -> None:
        """A camera that cannot be added is a complaint: it must not keep the others from starting."""
        try:
            self._manager.add(request)
        except XaivaError as error:
            logger.error("camera %s: %s: %s", request.id, error.what, error.why)
            self._complaints.append(f"{error.what}: {error.why}")

    def _known(self, camera: str) -> bool:
        return any(status.id == camera for status in self._manager.statuses())


def version() -> str:
    """The version of the installed distribution; a checkout without one says so."""
    try:
        return metadata.version("xaiva-console")
    except metadata.PackageNotFoundError:
        return "checkout"
