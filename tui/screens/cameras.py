"""Cameras of the running inference service: states, rates, scores, a live picture, and all settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from textual import on

from core.api_schema import CameraRequest, CameraState, CameraStatus, ServiceStatus
from core.service_client import text_formats
from tui.actions import bindings
from tui.formatters import cameras as camera_format
from tui.formatters import previews
from tui.screens.pending_thresholds import PendingThresholds
from tui.screens.picture_list import PictureListScreen
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Formatter, empty_content

THRESHOLD_STEP = 0.01  # of the threshold, per key press
LEARN_MINUTES = 10.0
SUSPEND_MINUTES = 60.0


class CamerasScreen(PictureListScreen):
    """The service's cameras; below them the picture and the details of the one under the cursor."""

    NAME = "cameras"
    SOURCE = "cameras"
    SOURCES = ("cameras",)
    LOGIN_SOURCE = "cameras"
    TITLE = "Cameras"
    COLUMNS = camera_format.COLUMNS
    EMPTY = "no cameras you may see; administrators add one with a"
    BINDINGS: ClassVar[list[Any]] = bindings("cameras", "list")

    def __init__(self) -> None:
        super().__init__()
        self._pending_thresholds = PendingThresholds(self, self.update_now)

    def rows(self, value: ServiceStatus) -> list[ChoiceRow]:
        return [
            ChoiceRow(camera.id, camera_format.row(camera), camera)
            for camera in map(self._pending_thresholds.with_pending, value.cameras)
        ]

    def feed(self) -> None:
        """The list, the details and the picture."""
        super().feed()
        address = self.console.service_address
        container_text = f" · {address.container}" if address and address.container else ""
        self.choices.border_title = f"{self.TITLE}{container_text}"
        camera, stale = self.selected(), self.stale_reading()
        reason = camera_format.missing_picture_reason(camera) if stale is None else stale.unknown_text
        title = camera_format.picture_title(camera) if camera else "Picture"
        if camera is None or reason:
            self.picture.set_source(camera.id if camera else "", None, words=reason if camera else "", title=title)
        else:
            self.picture.set_source(camera.id, self._fetch_thumbnail(camera.id), live=True, title=title)

    def row_changed(self) -> None:
        self.update_now()

    def detail(self) -> tuple[Formatter, str, str]:
        camera = self.selected()
        return (partial(camera_format.detail, camera), "", "") if camera else (empty_content, "", "")

    def selected(self) -> CameraStatus | None:
        """The camera under the cursor, with the threshold the user has set."""
        status: ServiceStatus | None = self.reading("cameras").value
        selected = (
            next((camera for camera in status.cameras if camera.id == self.choices.key), None) if status else None
        )
        return self._pending_thresholds.with_pending(selected) if selected else None

    def _fetch_thumbnail(self, camera: str) -> Callable[[int], bytes]:
        return lambda width: self.console.service.thumbnail(camera, width)

    # -- looking ------------------------------------------------------------------------------------------------------

    @on(ChoiceList.Chosen, "#choices")
    def action_large(self) -> None:
        from tui.screens.large_picture import LargePicture

        camera, stale = self.selected(), self.stale_reading()
        reason = camera_format.missing_picture_reason(camera) if stale is None else stale.unknown_text
        if camera is None or reason:
            self.notify(f"no picture: {reason}" if camera else "no camera selected")
            return
        self.app.push_screen(
            LargePicture(camera.id, camera_format.picture_title(camera), self._fetch_thumbnail(camera.id), live=True)
        )

    # -- changing -----------------------------------------------------------------------------------------------------

    def action_lower(self) -> None:
        if (camera := self._selected_or_notify()) is not None:
            self._pending_thresholds.change(camera, -THRESHOLD_STEP)

    def action_raise(self) -> None:
        if (camera := self._selected_or_notify()) is not None:
            self._pending_thresholds.change(camera, THRESHOLD_STEP)

    def action_add(self) -> None:
        self._open_form(None)

    def action_edit(self) -> None:
        if (camera := self._selected_or_notify()) is not None:
            self.console.load_then_open(partial(self.console.service.camera_settings, camera.id), self._open_form)

    def _open_form(self, settings: CameraRequest | None) -> None:
        from tui.screens.camera_form import CameraForm

        def done(camera: str | None) -> None:
            if camera is not None:
                self.choices.move_cursor_to_new(camera)
                self._refresh()
                self.update_now()

        self.app.push_screen(CameraForm(self.site, settings), done)

    def action_start_stop(self) -> None:
        """Start a stopped or failed camera; ask, then stop any other."""
        camera = self._selected_or_notify()
        if camera is None:
            return
        service = self.console.service
        if camera.state in (CameraState.STOPPED, CameraState.FAILED):
            self.background(partial(service.start_camera, camera.id), self._refresh)
            return
        self.confirm(
            f"Stop camera {camera.name or camera.id}?",
            "The service sees nothing there until the camera is started again. It stays in the list.",
            "Stop",
            lambda: self.background(partial(service.stop_camera, camera.id), self._refresh),
        )

    def action_restart(self) -> None:
        camera = self._selected_or_notify()
        if camera is None:
            return
        self.confirm(
            f"Restart camera {camera.name or camera.id}?",
            "The service disconnects and connects again. It sees nothing there meanwhile, and an ongoing event ends.",
            "Restart",
            lambda: self.background(partial(self.console.service.restart_camera, camera.id), self._refresh),
        )

    def action_learn(self) -> None:
        camera = self._selected_or_notify()
        if camera is None:
            return
        text = (
            "Everything the camera sees in that time counts as normal, so nothing unusual should happen. Until then it "
            f"scores as before; {text_formats.LEARNING_EFFECT}. 0 stops learning. "
            + previews.learning_preview(camera, LEARN_MINUTES)
        )
        self._ask_minutes(f"Learn {camera.name or camera.id}", LEARN_MINUTES, text, self.console.service.learn)

    def action_suspend(self) -> None:
        camera = self._selected_or_notify()
        if camera is None:
            return
        text = "Nobody is notified of this camera's events during that time; they are still recorded. 0 ends it."
        title = f"Suspend notifications of {camera.name or camera.id}"
        self._ask_minutes(title, SUSPEND_MINUTES, text, self.console.service.suspend)

    def _ask_minutes(self, title: str, minutes: float, text: str, send: Callable[[str, float], CameraStatus]) -> None:
        from tui.screens.ask_number import AskNumber

        camera = self.choices.key

        def done(minutes_given: float | None) -> None:
            if minutes_given is not None:
                self.background(partial(send, camera, minutes_given), self._refresh)

        self.app.push_screen(AskNumber(title, self.site, "Minutes", minutes, text), done)

    def action_remove(self) -> None:
        camera = self._selected_or_notify()
        if camera is None:
            return
        self.confirm(
            f"Remove camera {camera.name or camera.id}?",
            "The service disconnects and removes the camera. Its events stay. It can be added again.",
            "Remove",
            lambda: self.background(partial(self.console.service.remove_camera, camera.id), self._refresh),
        )

    def _selected_or_notify(self) -> CameraStatus | None:
        camera = self.selected()
        if camera is None:
            self.notify("no camera selected")
        return camera

    def _refresh(self, _result: object = None) -> None:
        self.console.store.ask_now("cameras")
