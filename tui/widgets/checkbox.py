"""A checkbox that can be read without colour."""

from __future__ import annotations

from typing import ClassVar

from textual import widgets
from textual.binding import Binding, BindingType


class Checkbox(widgets.Checkbox, inherit_bindings=False):
    """`[✓] words` or `[ ] words`. The blank ticks it; Enter is the form's, as in a field."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "toggle_button", "Toggle", show=False)]

    BUTTON_LEFT = ""  # drawn in the colour of the ground: brackets there would not be seen
    BUTTON_RIGHT = ""

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]
        return "[✓]" if self.value else "[ ]"
