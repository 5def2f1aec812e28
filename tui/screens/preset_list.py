"""What the screens that list presets share: the one chosen on one of them is chosen on the others."""

from __future__ import annotations

from tui.screens.base import ListScreen
from tui.sources import PresetView


class PresetListScreen(ListScreen):
    """A list with a row a preset."""

    SOURCE = "presets"

    def on_mount(self) -> None:
        """Begin with the preset that was chosen elsewhere."""
        self._follow()

    def on_screen_resume(self) -> None:
        """Go on with it."""
        if self.is_mounted:
            self._follow()

    def _follow(self) -> None:
        if self.console.preset:
            self.choices.move_cursor_to(self.console.preset)

    def row_changed(self) -> None:
        """The others go on with this one."""
        if self.choices.key:
            self.console.preset = self.choices.key

    def selected(self) -> PresetView | None:
        """The preset under the cursor."""
        views: list[PresetView] = self.reading("presets").value or []
        return next((view for view in views if view.entry.name == self.choices.key), None)
