"""A checkbox that can be read without colour."""

from __future__ import annotations

from textual.widgets import Checkbox


class Tick(Checkbox):
    """`[✓] words` or `[ ] words`."""

    BUTTON_LEFT = ""  # drawn in the colour of the ground: brackets there would not be seen
    BUTTON_RIGHT = ""

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]
        """The mark."""
        return "[✓]" if self.value else "[ ]"
