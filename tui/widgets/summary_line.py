"""One line of a screen that sums up what its list shows."""

from __future__ import annotations

from collections.abc import Callable

from textual.strip import Strip
from textual.widget import Widget

from tui.formatters.cells import Line
from tui.widgets.role_styles import RoleStyled


class SummaryLine(RoleStyled, Widget):
    """Shows the line that a formatter makes for the widget's width."""

    DEFAULT_CSS = "SummaryLine { height: 1; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._format: Callable[[int], Line] = lambda _: ()
        self._shown: Line = ()

    def show(self, formatter: Callable[[int], Line]) -> None:
        """Show what `formatter(width)` gives; drawn again only if it changed."""
        self._format = formatter
        if (new := formatter(self.size.width)) != self._shown:
            self._shown = new
            self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002
        """The only line."""
        self._shown = self._format(self.size.width)
        return self.role_strip(self._shown, self.size.width)
