"""A list with a picture of the row under the cursor."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget

from tui.screens.base import ListScreen
from tui.widgets.picture_view import PictureView


class PictureListScreen(ListScreen):
    """The picture below the list, and the details beside it."""

    def above_detail(self) -> Iterable[Widget]:
        yield PictureView(id="picture")

    def on_mount(self) -> None:
        """The picture can take the focus, so that a key shows it in full size."""
        self.picture.can_focus = True

    @property
    def picture(self) -> PictureView:
        return self.query_one("#picture", PictureView)

    def on_screen_suspend(self) -> None:
        """Remove the picture: terminal graphics would cover the next screen."""
        self.picture.set_in_view(False)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self.is_mounted:
            self.picture.set_in_view(True)

    def action_picture(self) -> None:
        self.picture.show_now()
