"""A list with the picture of what the cursor is on."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from tui.screens.base import ListScreen
from tui.widgets.picture_view import PictureView


class PictureListScreen(ListScreen):
    """Below the list the picture, and beside it the facts."""

    def above_detail(self) -> Iterable[Widget]:
        """The picture."""
        yield PictureView(id="picture")

    @property
    def picture(self) -> PictureView:
        """Where the picture is drawn."""
        return self.query_one("#picture", PictureView)

    def on_screen_suspend(self) -> None:
        """The terminal's own picture must not lie over what comes now."""
        self.picture.set_in_view(False)

    def on_screen_resume(self) -> None:
        """In view again."""
        super().on_screen_resume()
        if self.is_mounted:
            self.picture.set_in_view(True)

    def action_picture(self) -> None:
        """A fresh one."""
        self.picture.show_now()
