"""A dialog of many fields, one per line: values complete as you type, and drop down from fields with known ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Label

from core.errors import InputError, XaivaError
from core.validation_errors import explain_error
from tui.screens.form import Form
from tui.widgets.drop_down import DropDownMark, DropDownOpened, DropDownRow

T = TypeVar("T")
YES, NO = "yes", "no"


@dataclass(frozen=True)
class Field:
    """One field: `choices` are its known values, a `fixed` one cannot be changed, a `secret` one is not shown."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    choices: tuple[str, ...] = ()
    fixed: bool = False
    secret: bool = False


def yes_no(value: bool) -> str:
    return YES if value else NO


class FieldForm(Form[T]):
    """Sends what its fields say; errors are shown below the fields."""

    WIDE = True
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+o", "list_known", "Known values", show=False)]

    @abstractmethod
    def fields(self) -> Sequence[Field]:
        """The fields from top to bottom."""

    @abstractmethod
    def send(self) -> None:
        """Send the fields. Raises XaivaError when a field is wrong."""

    def compose_fields(self) -> Iterable[Widget]:
        self._fields = {field.name: field for field in self.fields()}
        for field in self._fields.values():
            drops_down = bool(field.choices) and not field.fixed
            with DropDownRow(field.name) if drops_down else Horizontal(classes="row"):
                yield Label(field.label)
                suggester = SuggestFromList(field.choices, case_sensitive=False) if field.choices else None
                hint = field.hint or "  ".join(field.choices)
                box = Input(field.value, placeholder=hint, id=field.name, suggester=suggester, password=field.secret)
                box.disabled = field.fixed
                box.cursor_blink = False
                yield box
                if drops_down:
                    yield DropDownMark(field.name)

    overwrite: frozenset[str] = frozenset()  # fields that somebody else changed too: reported once, then overwritten

    def show_error(self, error: XaivaError) -> None:
        """Show the error; the next try overwrites a field that somebody else changed."""
        from core.service_client.edit_merge import EditConflictError

        if isinstance(error, EditConflictError):
            self.overwrite |= error.fields
        super().show_error(error)

    def on_mount(self) -> None:
        """Focus the first field that can be changed."""
        next(box for box in self.query(Input) if not box.disabled).focus()

    def submit(self) -> None:
        try:
            self.send()
        except XaivaError as error:
            self.show_error(error)

    def exact_text(self, name: str) -> str:
        """The field's exact text: blanks at its ends may be part of a password."""
        return self.query_one(f"#{name}", Input).value

    def choice(self, name: str) -> str:
        """One of the field's known values, "" when it is empty. Raises InputError for anything else."""
        text, field = self.value(name).lower(), self._fields[name]
        if text and text not in field.choices:
            raise InputError(field.label, f"“{text}” is not a known value", f"enter one of: {', '.join(field.choices)}")
        return text

    def yes_or_no(self, name: str) -> bool:
        """Whether the field says yes. Raises InputError for anything but yes or no."""
        text = self.choice(name)
        if not text:
            raise InputError(self._fields[name].label, "it is empty", "enter yes or no")
        return text == YES

    def number(self, name: str) -> float | None:
        """The number in the field, None when it is empty. Raises InputError."""
        text = self.value(name).replace(",", ".")
        if not text:
            return None
        try:
            return float(text)
        except ValueError:
            reason = explain_error({"type": "float_parsing", "loc": (name,), "input": self.value(name)})
            raise InputError(self._fields[name].label, reason, "enter a number") from None

    @on(DropDownOpened)
    def _drop_down(self, event: DropDownOpened) -> None:
        self.set_focus(self.query_one(f"#{event.field}"))
        self.action_list_known()

    def action_list_known(self) -> None:
        """Pick one of the field's known values."""
        from tui.screens.pick import Pick

        box = self.focused
        field = self._fields.get(box.id or "") if isinstance(box, Input) else None
        if not isinstance(box, Input) or field is None or not field.choices:
            return

        def picked(value: str | None) -> None:
            if value is not None:
                box.value = value

        self.app.push_screen(Pick(field.label, field.choices, box.value, box.region), picked)
