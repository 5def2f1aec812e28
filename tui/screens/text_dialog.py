"""Shows a text to read and close: a full error, or what the engine says about a container."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Label

from core.errors import XaivaError
from tui.app_protocol import console_of


class TextDialog(ModalScreen[None]):
    """A text with a title; Esc, Enter or q closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Close"),
        Binding("y", "copy", "Copy"),
    ]

    def __init__(self, title: str, text: str, danger: bool = False, copied: str = "") -> None:
        """`copied` is what `y` copies; by default, title and text."""
        super().__init__()
        self._title = title
        self._text = text
        self._danger = danger
        self._copied = copied or f"{title}\n{text}"

    @classmethod
    def of_error(cls, error: XaivaError) -> TextDialog:
        """A dialog with the error, its reason and its remedy."""
        parts = [error.why, f"→ {error.remedy}" if error.remedy else ""]
        return cls(error.what, "\n\n".join(part for part in parts if part), danger=True)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog text-dialog" + (" -danger" if self._danger else "")) as dialog:
            dialog.border_title = self._title
            dialog.border_subtitle = "Esc closes · y copies"
            with VerticalScroll():
                yield Label(self._text, markup=False)

    def action_copy(self) -> None:
        console_of(self).copy(self._copied)
