"""Draws lines of role-marked spans, for the panel and the choice list."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from tui.formatters.cells import ROLES, Line, truncate, width_of

ROLE_CLASSES = {f"line--{role}" for role in ROLES}


class RoleRenderer:
    """Turns lines into strips with a widget's styles; forgets the styles when the theme changes."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._styles: dict[str, Style] = {}

    def forget_styles(self) -> None:
        """The widget's styles changed."""
        self._styles.clear()

    def style(self, role: str) -> Style:
        """The style of a role over the widget's own."""
        style = self._styles.get(role)
        if style is None:
            base = self._widget.rich_style
            part = self._widget.get_component_rich_style(f"line--{role}", partial=True) if role else Style.null()
            style = self._styles[role] = base + part
        return style

    def strip(self, line: Line, width: int, overlay: str = "") -> Strip:
        """The line in exactly `width` columns; `over` is a role laid over the whole line (a cursor)."""
        extra = self._widget.get_component_rich_style(f"line--{overlay}", partial=True) if overlay else Style.null()
        segments: list[Segment] = []
        columns_left = width
        for text, role in line:
            if columns_left <= 0:
                break
            visible_text = truncate(text, columns_left)
            segments.append(Segment(visible_text, self.style(role) + extra))
            columns_left -= width_of(visible_text)
        if columns_left > 0:
            segments.append(Segment(" " * columns_left, self.style("") + extra))
        return Strip(segments, width)
