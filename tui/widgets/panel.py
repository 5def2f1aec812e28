"""A framed panel of lines. Only changed lines are drawn again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ClassVar, TypeAlias

from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.formatters.cells import Line, wrap
from tui.widgets.role_styles import RoleStyled

log = logging.getLogger(__name__)
Formatter: TypeAlias = Callable[[int], list[Line]]


def empty_content(_width: int) -> list[Line]:
    """The formatter of a panel that has no data yet."""
    return []


class Panel(RoleStyled, ScrollView, inherit_bindings=False):
    """Shows the lines of a formatter, which gets the panel's width. The frame shows a state such as "stale 7 s"."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("pagedown,ctrl+d", "page_down", "Page down", show=False),
        Binding("pageup,ctrl+u", "page_up", "Page up", show=False),
        Binding("home,g", "scroll_home", "First", show=False),
        Binding("end,G", "scroll_end", "Last", show=False),
    ]
    can_focus = False

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=f"panel {classes or ''}")
        self.border_title = title
        self._format: Formatter = empty_content
        self._lines: list[Line] = []

    def show(self, formatter: Formatter, state: str = "", role: str = "") -> None:
        """Show what `formatter(width)` gives; `role` colours the state in the frame ("stale", "error")."""
        self._format = formatter
        self._set_state(state, role)
        self._update_lines()

    @property
    def text(self) -> str:
        """All lines as plain text, for the clipboard."""
        return "\n".join("".join(span.text for span in line).rstrip() for line in self._lines)

    def render_line(self, y: int) -> Strip:
        """One line of the visible part."""
        index = y + self.scroll_offset.y
        return self.role_strip(
            self._lines[index] if index < len(self._lines) else (), self.scrollable_content_region.width
        )

    def on_resize(self) -> None:
        """The width is part of the content."""
        self._update_lines()

    def _set_state(self, state: str, role: str) -> None:
        if (self.border_subtitle or "") != state:
            self.border_subtitle = state
        self.set_class(role == "stale", "-stale")
        self.set_class(role == "error", "-error")

    def _update_lines(self) -> None:
        width = self.scrollable_content_region.width
        if not width:
            return
        before, self._lines = self._lines, self._formatted(width)
        if len(before) != len(self._lines):
            self.virtual_size = Size(width, len(self._lines))
        top = self.scroll_offset.y
        for y in range(self.size.height):
            index = y + top
            old = before[index] if index < len(before) else ()
            new = self._lines[index] if index < len(self._lines) else ()
            if old != new:
                self.refresh(Region(0, y, width, 1))

    def _formatted(self, width: int) -> list[Line]:
        try:
            return self._format(width)
        except Exception as error:  # one broken panel must not end the console
            if self.app.is_headless:
                raise
            log.exception("panel %s", self.id)
            return wrap(
                f"This panel could not be drawn ({type(error).__name__}: {error}); see .xaiva/console.log",
                width,
                "error",
            )
