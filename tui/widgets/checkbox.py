"""A checkbox that can be read without colour."""

from __future__ import annotations

from typing import ClassVar

from textual import widgets
from textual.binding import Binding, BindingType


class Checkbox(widgets.Checkbox, inherit_bindings=False):
    """`[✓] label` or `[ ] label`. Space toggles it; Enter submits the form, as in a field."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "toggle_button", "Toggle", show=False)]

    BUTTON_LEFT = ""  # Textual draws these in the background colour: brackets would be invisible
    BUTTON_RIGHT = ""

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]
        return "[✓]" if self.value else "[ ]"
