"""Asks before something is destroyed. Cancel has the focus: Enter alone never destroys."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Label


class Confirm(ModalScreen[bool]):
    """True when the user chose the verb, False otherwise."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("left,right", "app.focus_next", "Other button", show=False),
    ]

    def __init__(self, title: str, text: str, verb: str) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._verb = verb

    def compose(self) -> ComposeResult:
        """The question and two buttons."""
        with Vertical(classes="dialog -danger") as dialog:
            dialog.border_title = self._title
            yield Label(self._text, markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", compact=False)
                yield Button(self._verb, id="yes", variant="error")

    def on_mount(self) -> None:
        """Cancel is the default."""
        self.query_one("#cancel", Button).focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_cancel(self) -> None:
        """Nothing happens."""
        self.dismiss(False)
