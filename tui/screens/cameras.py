"""Cameras of the running inference service: state, rates, scores, a live picture; everything that can be set."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from textual import on

from core.inference.schemas import CameraRequest, CameraState, CameraStatus, ServiceStatus
from core.service_client import text_formats
from tui.actions import bindings
from tui.present import cameras as present
from tui.present import previews
from tui.screens.picture_list import PictureListScreen
from tui.screens.thresholds import Thresholds
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Formatter, empty_content

STEP = 0.01  # of the threshold, a key
LEARN_MINUTES = 10.0
SUSPEND_MINUTES = 60.0


class CamerasScreen(PictureListScreen):
    """The service's cameras; below them the picture and the facts of the one under the cursor."""

    NAME = "cameras"
    SOURCE = "cameras"
    SOURCES = ("cameras",)
    LOGIN = "cameras"
    TITLE = "Cameras"
    COLUMNS = present.COLUMNS
    EMPTY = "no camera that you may see: administrators add one (a)"
    BINDINGS: ClassVar[list[Any]] = bindings("cameras", "list")

    def __init__(self) -> None:
        super().__init__()
        self._thresholds = Thresholds(self, self.update_now)

    def rows(self, value: ServiceStatus) -> list[ChoiceRow]:
        """One row a camera."""
        return [ChoiceRow(camera.id, present.row(self._thresholds.shown(camera))) for camera in value.cameras]

    def feed(self) -> None:
        """The list, the facts, and what the picture is of."""
        super().feed()
        address = self.console.service_address
        where = f" · {address.container}" if address and address.container else ""
        self.choices.border_title = f"{self.TITLE}{where}"
        camera, silent = self.selected(), self.silent()
        words = present.no_picture(camera) if silent is None else silent.unknown
        title = present.title(camera) if camera else "Picture"
        if camera is None or words:
            self.picture.set_source(camera.id if camera else "", None, words=words if camera else "", title=title)
        else:
            self.picture.set_source(camera.id, self._fetch(camera.id), live=True, title=title)

    def chosen(self) -> None:
        """Another camera: its picture."""
        self.update_now()

    def detail(self) -> tuple[Formatter, str, str]:
        """Everything the service says of it."""
        camera = self.selected()
        return (partial(present.detail, camera), "", "") if camera else (empty_content, "", "")

    def selected(self) -> CameraStatus | None:
        """The camera under the cursor, with the threshold that is wanted."""
        status: ServiceStatus | None = self.reading("cameras").value
        found = next((one for one in status.cameras if one.id == self.choices.key), None) if status else None
        return self._thresholds.shown(found) if found else None

    def _fetch(self, camera: str) -> Callable[[int], bytes]:
        return lambda width: self.console.service.thumbnail(camera, width)

    # -- looking ------------------------------------------------------------------------------------------------------

    @on(ChoiceList.Chosen, "#choices")
    def action_large(self) -> None:
        """As large as the terminal."""
        from tui.screens.large_picture import LargePicture

        camera, silent = self.selected(), self.silent()
        words = present.no_picture(camera) if silent is None else silent.unknown
        if camera is None or words:
            self.notify(f"no picture: {words}" if camera else "no camera here")
            return
        self.app.push_screen(LargePicture(camera.id, present.title(camera), self._fetch(camera.id), live=True))

    async def action_events(self) -> None:
        """Its events."""
        from tui.screens.events import EventsScreen

        camera = self.selected()
        if camera is None:
            self.notify("no camera here")
            return
        await self.console.switch_mode("events")
        screen = self.app.screen
        assert isinstance(screen, EventsScreen)
        screen.only_camera(camera.id)

    # -- changing -----------------------------------------------------------------------------------------------------

    def action_lower(self) -> None:
        """Seen at once, sent when the keys rest."""
        if (camera := self._one()) is not None:
            self._thresholds.change(camera, -STEP)

    def action_raise(self) -> None:
        """Seen at once, sent when the keys rest."""
        if (camera := self._one()) is not None:
            self._thresholds.change(camera, STEP)

    def action_add(self) -> None:
        """A form with a connection test."""
        self._open_form(None)

    def action_edit(self) -> None:
        """The same form with what is set now."""
        if (camera := self._one()) is not None:
            self.console.prepare(partial(self.console.service.camera_settings, camera.id), self._open_form)

    def _open_form(self, settings: CameraRequest | None) -> None:
        from tui.screens.camera_form import CameraForm

        def done(camera: str | None) -> None:
            if camera is not None:
                self.choices.move_cursor_to_new(camera)
                self._ask()
                self.update_now()

        self.app.push_screen(CameraForm(self.site, settings), done)

    def action_start_stop(self) -> None:
        """Start what is stopped or failed; stop anything else, asked first."""
        camera = self._one()
        if camera is None:
            return
        service = self.console.service
        if camera.state in (CameraState.STOPPED, CameraState.FAILED):
            self.background(partial(service.start_camera, camera.id), self._ask)
            return
        self.confirm(
            f"Stop camera {camera.name or camera.id}?",
            "Nothing is seen there until it is started again. It stays in the list.",
            "Stop",
            lambda: self.background(partial(service.stop_camera, camera.id), self._ask),
        )

    def action_restart(self) -> None:
        """Ask, then connect again."""
        camera = self._one()
        if camera is None:
            return
        self.confirm(
            f"Restart camera {camera.name or camera.id}?",
            "It is cut off and connected again. Nothing is seen there in the meantime, and an event that goes on ends.",
            "Restart",
            lambda: self.background(partial(self.console.service.restart_camera, camera.id), self._ask),
        )

    def action_learn(self) -> None:
        """Asks for how long."""
        camera = self._one()
        if camera is None:
            return
        text = (
            "The camera's pictures of that time count as normal: let nothing unusual happen. Until it has learned it "
            f"scores as before; {text_formats.LEARNING_EFFECT}. 0 ends a learning. "
            + previews.learning(camera, LEARN_MINUTES)
        )
        self._ask_minutes(f"Learn {camera.name or camera.id}", LEARN_MINUTES, text, self.console.service.learn)

    def action_suspend(self) -> None:
        """Asks for how long."""
        camera = self._one()
        if camera is None:
            return
        text = "Nobody is notified of this camera's events for that long; they are kept all the same. 0 ends it."
        title = f"No notifications of {camera.name or camera.id}"
        self._ask_minutes(title, SUSPEND_MINUTES, text, self.console.service.suspend)

    def _ask_minutes(self, title: str, minutes: float, text: str, then: Callable[[str, float], CameraStatus]) -> None:
        from tui.screens.number import AskNumber

        camera = self.choices.key

        def done(given: float | None) -> None:
            if given is not None:
                self.background(partial(then, camera, given), self._ask)

        self.app.push_screen(AskNumber(title, self.site, "Minutes", minutes, text), done)

    def action_remove(self) -> None:
        """Ask, then remove it."""
        camera = self._one()
        if camera is None:
            return
        self.confirm(
            f"Remove camera {camera.name or camera.id}?",
            "The service stops reading it and forgets it. Its events stay. It can be added again.",
            "Remove",
            lambda: self.background(partial(self.console.service.remove_camera, camera.id), self._ask),
        )

    def _one(self) -> CameraStatus | None:
        camera = self.selected()
        if camera is None:
            self.notify("no camera here")
        return camera

    def _ask(self, _result: object = None) -> None:
        self.console.store.ask_now("cameras")
