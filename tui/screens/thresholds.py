"""Thresholds changed by keys: seen at once, sent when the keys rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from textual.timer import Timer

from core.errors import XaivaError
from core.inference.schemas import CameraRequest, CameraStatus
from core.service_client import ServiceClient
from tui.console_app import console_of
from tui.screens.base import ConsoleScreen

REST = 0.8  # seconds without a key after which it is sent
SAME = 0.0005


@dataclass
class _Wish:
    value: float
    timer: Timer | None = None
    sent: bool = False


class Thresholds:
    """The thresholds that are wanted and that the service does not have yet."""

    def __init__(self, screen: ConsoleScreen, changed: Callable[[], object]) -> None:
        self._screen = screen
        self._changed = changed
        self._wishes: dict[str, _Wish] = {}

    def shown(self, camera: CameraStatus) -> CameraStatus:
        """The camera as it will be."""
        wish = self._wishes.get(camera.id)
        if wish is None:
            return camera
        if wish.sent and abs(camera.threshold - wish.value) < SAME:
            del self._wishes[camera.id]
            return camera
        return camera.model_copy(update={"threshold": wish.value})

    def change(self, camera: CameraStatus, step: float) -> None:
        """Higher or lower than what is shown."""
        value = round(min(max(self.shown(camera).threshold + step, 0.0), 1.0), 3)
        before = self._wishes.get(camera.id)
        if before is not None and before.timer is not None:
            before.timer.stop()
        timer = self._screen.set_timer(REST, partial(self._send, camera.id))
        self._wishes[camera.id] = _Wish(value, timer)
        self._changed()

    def _send(self, camera: str) -> None:
        wish = self._wishes.get(camera)
        if wish is None:
            return
        wish.timer = None
        work = partial(_set, console_of(self._screen).service, camera, wish.value)
        self._screen.background(work, partial(self._done, camera, wish), partial(self._failed, camera, wish))

    def _done(self, _camera: str, wish: _Wish, _status: CameraStatus) -> None:
        wish.sent = True
        self._screen.console.store.ask_now("cameras")

    def _failed(self, camera: str, wish: _Wish, error: XaivaError) -> None:
        if self._wishes.get(camera) is wish:
            del self._wishes[camera]
        self._changed()
        self._screen.console.show_error(error)


def _set(service: ServiceClient, camera: str, value: float) -> CameraStatus:
    """In a thread: everything else stays. A release that would lie above the threshold follows it again."""
    settings: CameraRequest = service.camera_settings(camera)
    before = settings.detection
    release = before.release if before.release is not None and before.release <= value else None
    detection = before.model_copy(update={"threshold": value, "release": release})
    return service.update_camera(settings.model_copy(update={"detection": detection}))
