"""A button whose focus can be seen without colour."""

from __future__ import annotations

from textual import widgets
from textual.content import Content

FOCUS = "▸"


class Button(widgets.Button):
    """`▸ [ Start ]` with focus, `  [ Start ]` without."""

    def render(self) -> Content:
        """The label in brackets, and the mark."""
        mark = FOCUS if self.has_focus else " "
        return Content(f"{mark} [ {self.label} ]")

    def get_content_width(self, container: object, viewport: object) -> int:  # noqa: ARG002
        """The width with room for the focus mark, so that nothing moves with the focus."""
        return self.render().cell_length + 2  # and a blank on each side
