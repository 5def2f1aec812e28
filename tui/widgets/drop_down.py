"""The row of a field with known values: the down key, or a click on the sign behind the field, opens them."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Label

MARK = "▾"


class DropDownOpened(Message):
    """Somebody wants to see the known values; `field` is the id of the input."""

    def __init__(self, field: str) -> None:
        super().__init__()
        self.field = field


class DropDownRow(Horizontal):
    """Holds the label, the input and the mark of a field."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("down", "open", "Known values", show=False)]

    def __init__(self, field: str) -> None:
        super().__init__(classes="row")
        self._field = field

    def action_open(self) -> None:
        self.post_message(DropDownOpened(self._field))


class DropDownMark(Label):
    """The sign behind the field."""

    def __init__(self, field: str) -> None:
        super().__init__(MARK, classes="mark")
        self._field = field

    def on_click(self) -> None:
        self.post_message(DropDownOpened(self._field))
