"""`RoleStyled`: a widget mix-in that draws lines of role-marked spans in the colours of the theme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.style import Style as ThemeStyle

from tui.formatters.cells import Line, truncate, width_of

if TYPE_CHECKING:
    from textual.widget import Widget

    _Base = Widget
else:
    _Base = object

# The roles of tui.formatters.cells.ROLES in Textual's style language. Not CSS component classes: those are computed
# again for each role of each widget whenever the widget's style is, and took 45 ms of the time to the first frame.
ROLE_STYLES = {
    "dim": "$xaiva-dim",
    "title": "$foreground bold",
    "key": "$primary bold",
    "ok": "$success",
    "warn": "$warning",
    "error": "$error",
    "stale": "$xaiva-stale",
    "accent": "$accent",
    "current": "$primary bold reverse",
    "bar": "$secondary",
    "add": "$success",
    "remove": "$error",
    "cursor": "on $xaiva-cursor bold",
    "cursor-idle": "on $xaiva-cursor-idle",
}


class RoleStyled(_Base):
    """`class Panel(RoleStyled, ScrollView)`. A role's style lies over the widget's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._role_styles: dict[str, Style] = {}
        super().__init__(*args, **kwargs)

    def notify_style_update(self) -> None:
        """Draw again: the theme or the widget's own style may have changed."""
        super().notify_style_update()
        self._role_styles.clear()
        self.refresh()

    def role_style(self, role: str) -> Style:
        """The style of a role, "" for text without one."""
        style = self._role_styles.get(role)
        if style is None:
            style = self._role_styles[role] = self.rich_style + _theme_style(role)
        return style

    def role_strip(self, line: Line, width: int, overlay: str = "") -> Strip:
        """The line in exactly `width` columns; `overlay` is a role laid over the whole line (a cursor)."""
        extra = _theme_style(overlay)
        segments: list[Segment] = []
        columns_left = width
        for text, role in line:
            if columns_left <= 0:
                break
            visible_text = truncate(text, columns_left)
            segments.append(Segment(visible_text, self.role_style(role) + extra))
            columns_left -= width_of(visible_text)
        if columns_left > 0:
            segments.append(Segment(" " * columns_left, self.role_style("") + extra))
        return Strip(segments, width)


def _theme_style(role: str) -> Style:
    return ThemeStyle.parse(ROLE_STYLES[role]).rich_style if role else Style.null()
