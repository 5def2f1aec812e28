"""The base of every screen with panels: a key jumps to one, another shows it in the full size of the terminal."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.screen import Screen
from textual.widget import Widget

from tui.actions import bindings


class PanelScreen(Screen[None]):
    """Its panels are the widgets of the class `panel`: lists, details, logs and pictures."""

    BINDINGS: ClassVar[list[Any]] = bindings("panel")
    ALLOW_IN_MAXIMIZED_VIEW = "Bar, #search"
    ESCAPE_TO_MINIMIZE = False  # escape first closes what lies over the panel

    def action_jump(self) -> None:
        """Show a letter on each panel in view; the letter focuses its panel."""
        from tui.screens.jump import Jump

        panels = [panel for panel in self.query(".panel") if panel.region.area]

        def jump(panel: Widget | None) -> None:
            if panel is not None:
                self.focus_panel(panel)

        self.app.push_screen(Jump(panels), jump)

    def focus_panel(self, panel: Widget) -> None:
        """Focus the panel, or what it contains. It takes the place of another one that fills the terminal."""
        if self.maximized is not None:
            self.maximized = panel
        if panel.has_focus_within:
            return
        target = next((widget for widget in self.focus_chain if panel in widget.ancestors_with_self), None)
        if target is not None:
            target.focus()

    def action_full_screen(self) -> None:
        """Show the focused panel in the full size of the terminal, and back."""
        if self.leave_full_screen():
            return
        nodes = self.focused.ancestors_with_self if self.focused is not None else ()
        panel = next((node for node in nodes if isinstance(node, Widget) and node.has_class("panel")), None)
        if panel is None:
            self.notify("no panel has the focus: J or Tab chooses one")
        else:
            self.maximized = panel

    def leave_full_screen(self) -> bool:
        """Show all panels again. Returns whether one filled the terminal."""
        is_full = self.maximized is not None
        self.maximized = None
        return is_full
