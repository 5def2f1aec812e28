"""The inference service: its cameras, what it keeps of them, and what it says of itself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.errors import XaivaError
from core.inference.cameras.manager import MultiCameraManager
from core.inference.schemas import (
    API_VERSION,
    SERVICE_NAME,
    CameraRequest,
    CameraState,
    CameraStatus,
    Health,
    ServiceStatus,
)
from core.inference.store import CameraStore


class InferenceService:
    """What the API speaks to; knows nothing of HTTP. Every method may be called from any thread."""

    def __init__(self, cameras: Iterable[CameraRequest], store: CameraStore, manager: MultiCameraManager) -> None:
        self._store = store
        self.manager = manager
        self._version = own_version()
        self._started = time.time()
        self._began = time.monotonic()
        self._ready = False
        self._changes = threading.Lock()  # file and cameras change together
        for camera in cameras:
            manager.add(camera)

    def start(self) -> None:
        """Start the cameras."""
        self.manager.start()
        self._ready = True

    def stop(self) -> list[str]:
        """Stop the cameras within 5 s; returns the ids of those that hang in native code."""
        self._ready = False
        return self.manager.stop()

    def health(self) -> Health:
        """Whether the service works, whatever its cameras do."""
        statuses = self.manager.statuses()
        live = sum(status.state is CameraState.LIVE for status in statuses)
        return Health(
            live=not self._ready or self.manager.watching,
            ready=self._ready,
            version=self._version,
            detail=f"{live} of {len(statuses)} cameras live",
            service=SERVICE_NAME,
            api=API_VERSION,
        )

    def status(self) -> ServiceStatus:
        """A snapshot of everything."""
        return ServiceStatus(
            version=self._version,
            started=self._started,
            uptime=round(time.monotonic() - self._began, 1),
            rss=resident_bytes(),
            cameras=self.manager.statuses(),
        )

    def add_camera(self, request: CameraRequest) -> CameraStatus:
        """Add a camera and keep it over a restart. Raises as `MultiCameraManager.add` and `CameraStore.put`."""
        with self._changes:
            status = self.manager.add(request)
            try:
                self._store.put(request)
            except XaivaError:
                self.manager.remove(request.id)
                raise
            return status

    def remove_camera(self, camera: str) -> None:
        """Stop a camera and forget it. Raises as `MultiCameraManager.remove` and `CameraStore.drop`."""
        with self._changes:
            self.manager.get(camera)
            self._store.drop(camera)
            self.manager.remove(camera)


def own_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("xaiva-console")
    except PackageNotFoundError:
        return "0"


def resident_bytes() -> int:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
