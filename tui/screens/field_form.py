"""A dialog of many fields, one a line: values complete while one types, Ctrl+O lists what is known."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Label

from core.errors import InputError, XaivaError
from core.validation_errors import explain_error
from tui.screens.form import Form

T = TypeVar("T")
YES, NO = "yes", "no"


@dataclass(frozen=True)
class Field:
    """One line: `choices` are known values, `fixed` cannot be changed, `secret` is not shown."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    choices: tuple[str, ...] = ()
    fixed: bool = False
    secret: bool = False


def yes_no(value: bool) -> str:
    """How a form writes it."""
    return YES if value else NO


class FieldForm(Form[T]):
    """Makes something of its fields and sends it; what is wrong with them stands below."""

    WIDE = True
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+o", "list_known", "Known values", show=False)]

    @abstractmethod
    def fields(self) -> Sequence[Field]:
        """The fields, from top to bottom."""

    @abstractmethod
    def send(self) -> None:
        """Do what the fields say. Raises XaivaError for what is wrong with them."""

    def compose_fields(self) -> Iterable[Widget]:
        """A label and a line to type in, each."""
        self._choices = {field.name: field.choices for field in self.fields()}
        for one in self.fields():
            with Horizontal(classes="row"):
                yield Label(one.label)
                suggester = SuggestFromList(one.choices, case_sensitive=False) if one.choices else None
                hint = one.hint or "  ".join(one.choices)
                box = Input(one.value, placeholder=hint, id=one.name, suggester=suggester, password=one.secret)
                box.disabled = one.fixed
                box.cursor_blink = False
                yield box

    overwrite: frozenset[str] = frozenset()  # fields that somebody else changed, too: said once, then overwritten

    def show_error(self, error: XaivaError) -> None:
        """What is wrong; what somebody else changed meanwhile is overwritten by the next try."""
        from core.service_client.edit_merge import EditConflictError

        if isinstance(error, EditConflictError):
            self.overwrite |= error.fields
        super().show_error(error)

    def on_mount(self) -> None:
        """Type at once, in the first field that can be changed."""
        next(box for box in self.query(Input) if not box.disabled).focus()

    def submit(self) -> None:
        """Send it, or say what is wrong."""
        try:
            self.send()
        except XaivaError as error:
            self.show_error(error)

    def exact_text(self, name: str) -> str:
        """What stands in a field, to the letter: blanks at its ends may be part of a password."""
        return self.query_one(f"#{name}", Input).value

    def choice(self, name: str) -> str:
        """A field that says one of its known values, "" when it is empty. Raises InputError for anything else."""
        text, choices = self.value(name).lower(), self._choices[name]
        if text and text not in choices:
            raise InputError(name.replace("_", " "), f"there is no “{text}”", f"write one of: {', '.join(choices)}")
        return text

    def yes_or_no(self, name: str) -> bool:
        """A field that says yes or no. Raises InputError for anything else."""
        text = self.choice(name)
        if not text:
            raise InputError(name.replace("_", " "), "it is empty", "write yes or no")
        return text == YES

    def number(self, name: str) -> float | None:
        """A field with a figure, None when it is empty. Raises InputError."""
        text = self.value(name).replace(",", ".")
        if not text:
            return None
        try:
            return float(text)
        except ValueError:
            reason = explain_error({"type": "float_parsing", "loc": (name,), "input": self.value(name)})
            raise InputError(name.replace("_", " "), reason, "write a number") from None

    def action_list_known(self) -> None:
        """Pick one of the values that are known for the field."""
        from tui.screens.pick import Pick

        box = self.focused
        choices = self._choices.get(box.id or "", ()) if isinstance(box, Input) else ()
        if not isinstance(box, Input) or not choices:
            return

        def picked(value: str | None) -> None:
            if value is not None:
                box.value = value

        self.app.push_screen(Pick(str(box.id).replace("_", " "), choices, box.value), picked)
