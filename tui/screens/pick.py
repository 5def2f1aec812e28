"""Picks one of the known values of a field; typing narrows the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from tui.formatters.cells import Column
from tui.widgets.choice_list import ChoiceList, ChoiceRow


class Pick(ModalScreen[str]):
    """Returns the value, None when the dialog was cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Cancel"),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
    ]

    def __init__(self, title: str, values: Sequence[str], current: str = "") -> None:
        super().__init__()
        self._title = title
        self._values = list(dict.fromkeys(values))
        self._current = current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog form pick") as dialog:
            dialog.border_title = self._title
            box = Input(placeholder="type to narrow, Enter picks", id="narrow")
            box.cursor_blink = False
            yield box
            yield ChoiceList([Column("known values")], empty="no known value", id="values")

    def on_mount(self) -> None:
        choices = self.query_one(ChoiceList)
        choices.show([ChoiceRow(value, (value,)) for value in self._values])
        choices.move_cursor_to(self._current)
        self.query_one("#narrow").focus()

    def action_move(self, step: int) -> None:
        """Move the cursor while the input has the focus."""
        self.query_one(ChoiceList).action_move(step)

    @on(Input.Changed, "#narrow")
    def _narrow(self, event: Input.Changed) -> None:
        self.query_one(ChoiceList).search(event.value)

    @on(Input.Submitted, "#narrow")
    @on(ChoiceList.Chosen)
    def _choose(self) -> None:
        key = self.query_one(ChoiceList).key
        self.dismiss(key or None)

    def action_leave(self) -> None:
        self.dismiss(None)
