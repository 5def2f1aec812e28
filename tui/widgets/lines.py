"""Draws lines of role-marked spans, for the panel and the choice list."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from tui.present.cells import ROLES, Line, cut, width_of

ROLE_CLASSES = {f"line--{role}" for role in ROLES}


class Brush:
    """Turns lines into strips with a widget's styles; forgets the styles when the theme changes."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._styles: dict[str, Style] = {}

    def forget(self) -> None:
        """The widget's styles changed."""
        self._styles.clear()

    def style(self, role: str) -> Style:
        """The style of a role over the widget's own."""
        found = self._styles.get(role)
        if found is None:
            base = self._widget.rich_style
            part = self._widget.get_component_rich_style(f"line--{role}", partial=True) if role else Style.null()
            found = self._styles[role] = base + part
        return found

    def strip(self, line: Line, width: int, over: str = "") -> Strip:
        """The line in exactly `width` columns; `over` is a role laid over the whole line (a cursor)."""
        extra = self._widget.get_component_rich_style(f"line--{over}", partial=True) if over else Style.null()
        segments: list[Segment] = []
        left = width
        for text, role in line:
            if left <= 0:
                break
            shown = cut(text, left)
            segments.append(Segment(shown, self.style(role) + extra))
            left -= width_of(shown)
        if left > 0:
            segments.append(Segment(" " * left, self.style("") + extra))
        return Strip(segments, width)
