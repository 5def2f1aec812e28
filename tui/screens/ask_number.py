"""The dialog that asks for one number."""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import InputError
from core.site import Site
from tui.formatters.cells import wrap
from tui.screens.field_form import Field, FieldForm


class AskNumber(FieldForm[float]):
    """Returns the number, None when the dialog was cancelled."""

    WIDE = False

    def __init__(self, title: str, site: Site, label: str, value: float, text: str) -> None:
        super().__init__(title, site)
        self._line = Field("number", label, f"{value:g}")
        self._text = text

    def fields(self) -> Sequence[Field]:
        return (self._line,)

    def on_mount(self) -> None:
        super().on_mount()
        self.show_message(lambda width: wrap(self._text, width, "dim"))

    def send(self) -> None:
        value = self.number("number")
        if value is None or value < 0:
            raise InputError(self._line.label, "it is not a number of at least 0", "enter a number")
        self.dismiss(value)
