"""The base of the screens that list presets: they share the selected preset."""

from __future__ import annotations

from tui.screens.base import ListScreen
from tui.sources import PresetView


class PresetListScreen(ListScreen):
    """A list with one row per preset."""

    SOURCE = "presets"

    def on_mount(self) -> None:
        """Select the preset that was selected on another screen."""
        self._follow()

    def on_screen_resume(self) -> None:
        if self.is_mounted:
            self._follow()

    def _follow(self) -> None:
        if self.console.preset:
            self.choices.move_cursor_to(self.console.preset)

    def show_row(self, key: str) -> None:
        """The other screens that list presets follow."""
        self.console.preset = key
        super().show_row(key)

    def row_changed(self) -> None:
        """Remember the selected preset for the other screens."""
        if self.choices.key:
            self.console.preset = self.choices.key

    def selected(self) -> PresetView | None:
        views: list[PresetView] = self.reading("presets").value or []
        return next((view for view in views if view.entry.name == self.choices.key), None)
