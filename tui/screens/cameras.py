"""Cameras of the running inference service: state, rates, scores; add and remove."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from core.inference.schemas import CameraRequest, CameraStatus, ServiceStatus
from tui.actions import bindings
from tui.present import cameras as present
from tui.screens.base import ListScreen
from tui.widgets.choice_list import Row
from tui.widgets.panel import Formatter, nothing

SERVICE_SECONDS = 10.0


class CamerasScreen(ListScreen):
    """The service's cameras; beside them the one under the cursor."""

    NAME = "cameras"
    SOURCE = "cameras"
    SOURCES = ("cameras",)
    TITLE = "Cameras"
    COLUMNS = present.COLUMNS
    EMPTY = "the service has no camera: a adds one"
    BINDINGS: ClassVar[list[Any]] = bindings("cameras", "list")

    def rows(self, value: ServiceStatus) -> list[Row]:
        """One row a camera."""
        return [Row(camera.id, present.row(camera)) for camera in value.cameras]

    def detail(self) -> tuple[Formatter, str, str]:
        """Everything the service says of it."""
        camera = self.selected()
        status: ServiceStatus | None = self.reading("cameras").value
        if camera is None or status is None:
            return nothing, "", ""
        return partial(_both, camera, status), "", ""

    def selected(self) -> CameraStatus | None:
        """The camera under the cursor."""
        status: ServiceStatus | None = self.reading("cameras").value
        return next((one for one in status.cameras if one.id == self.choices.key), None) if status else None

    def action_add(self) -> None:
        """A form; then the result of the connection shows in the list."""
        from tui.screens.add_camera import AddCamera

        def added(request: CameraRequest | None) -> None:
            if request is not None:
                self.choices.point(request.id)
                self.console.store.ask_now("cameras")

        self.app.push_screen(AddCamera(self.site), added)

    def action_remove(self) -> None:
        """Ask, then remove it."""
        camera = self.selected()
        if camera is None:
            self.notify("no camera here")
            return
        self.confirm(
            f"Remove camera {camera.name or camera.id}?",
            "The service stops reading it and forgets it. It can be added again.",
            "Remove",
            lambda: self.background(partial(self._remove, camera.id), lambda _: self.console.store.ask_now("cameras")),
        )

    def _remove(self, identifier: str) -> None:
        from core.service_client import ServiceClient

        ServiceClient.of(self.site, SERVICE_SECONDS).remove_camera(identifier)


def _both(camera: CameraStatus, status: ServiceStatus, width: int) -> list[Any]:
    return [*present.detail(camera, width), (), *present.service(status, width)]
