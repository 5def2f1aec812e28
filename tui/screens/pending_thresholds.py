"""Thresholds changed by keys: shown at once, sent when no key is pressed for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from textual.timer import Timer

from core.api_schema import CameraRequest, CameraStatus
from core.errors import XaivaError
from core.service_client import ServiceClient
from tui.app_protocol import console_of
from tui.screens.base import ConsoleScreen

SEND_DELAY = 0.8  # seconds without a key press
THRESHOLD_TOLERANCE = 0.0005


@dataclass
class _Pending:
    value: float
    timer: Timer | None = None
    sent: bool = False


class PendingThresholds:
    """The thresholds that the service does not have yet."""

    def __init__(self, screen: ConsoleScreen, changed: Callable[[], object]) -> None:
        self._screen = screen
        self._changed = changed
        self._pending: dict[str, _Pending] = {}
        self._on_the_way: set[str] = set()  # cameras with a request: two at once could arrive in the wrong order

    def with_pending(self, camera: CameraStatus) -> CameraStatus:
        """The camera with its pending threshold."""
        pending = self._pending.get(camera.id)
        if pending is None:
            return camera
        if pending.sent and abs(camera.threshold - pending.value) < THRESHOLD_TOLERANCE:
            del self._pending[camera.id]
            return camera
        return camera.model_copy(update={"threshold": pending.value})

    def change(self, camera: CameraStatus, step: float) -> None:
        """Raise or lower the shown threshold by `step`."""
        value = round(min(max(self.with_pending(camera).threshold + step, 0.0), 1.0), 3)
        previous = self._pending.get(camera.id)
        if previous is not None and previous.timer is not None:
            previous.timer.stop()
        self._pending[camera.id] = _Pending(value)
        self._send_soon(camera.id)
        self._changed()

    def _send_soon(self, camera: str) -> None:
        self._pending[camera].timer = self._screen.set_timer(SEND_DELAY, partial(self._send, camera))

    def _send(self, camera: str) -> None:
        pending = self._pending.get(camera)
        if pending is None:
            return
        pending.timer = None
        if camera in self._on_the_way:
            self._send_soon(camera)
            return
        self._on_the_way.add(camera)
        work = partial(_set_threshold, console_of(self._screen).service, camera, pending.value)
        self._screen.background(work, partial(self._done, camera, pending), partial(self._failed, camera, pending))

    def _done(self, camera: str, pending: _Pending, _status: CameraStatus) -> None:
        self._on_the_way.discard(camera)
        pending.sent = True
        self._screen.console.store.ask_now("cameras")

    def _failed(self, camera: str, pending: _Pending, error: XaivaError) -> None:
        self._on_the_way.discard(camera)
        if self._pending.get(camera) is pending:
            del self._pending[camera]
        self._changed()
        self._screen.console.show_error(error)


def _set_threshold(service: ServiceClient, camera: str, value: float) -> CameraStatus:
    """Change only the threshold; a release above it is reset to its default. Blocks."""
    settings: CameraRequest = service.camera_settings(camera)
    detection_now = settings.detection
    release = detection_now.release if detection_now.release is not None and detection_now.release <= value else None
    detection = detection_now.model_copy(update={"threshold": value, "release": release})
    return service.update_camera(settings.model_copy(update={"detection": detection}))
