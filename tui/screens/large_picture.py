"""A picture in the full size of the terminal."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from tui.widgets.picture_view import Fetch, PictureView


class LargePicture(ModalScreen[None]):
    """The picture in full size; Esc, Enter or q closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Close"),
        Binding("v", "picture", "Picture now"),
    ]

    def __init__(self, key: str, title: str, fetch: Fetch, live: bool) -> None:
        super().__init__()
        self._arguments = key, title, fetch, live

    def compose(self) -> ComposeResult:
        yield PictureView(id="large")

    def on_mount(self) -> None:
        key, title, fetch, live = self._arguments
        self._view.set_source(key, fetch, live=live, title=f"{title} · Esc closes")
        self._view.show_now()

    @property
    def _view(self) -> PictureView:
        return self.query_one("#large", PictureView)

    def action_picture(self) -> None:
        self._view.show_now()

    def on_screen_suspend(self) -> None:
        self._view.set_in_view(False)

    def on_screen_resume(self) -> None:
        self._view.set_in_view(True)
