"""A dialog of many fields, one a line: values complete while one types, Ctrl+O lists what is known."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Label

from core.errors import InputError, XaivaError
from tui.console_app import console_of
from tui.present.cells import Span, line, wrap
from tui.screens.form import Form

T = TypeVar("T")
W = TypeVar("W")
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
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+o", "list_known", "Known values", show=False)]

    @abstractmethod
    def lines(self) -> Sequence[Field]:
        """The fields, from top to bottom."""

    @abstractmethod
    def send(self) -> None:
        """Do what the fields say. Raises XaivaError for what is wrong with them."""

    def fields(self) -> Iterable[Widget]:
        """A label and a line to type in, each."""
        self._known = {one.name: one.choices for one in self.lines()}
        for one in self.lines():
            with Horizontal(classes="row"):
                yield Label(one.label)
                suggester = SuggestFromList(one.choices, case_sensitive=False) if one.choices else None
                hint = one.hint or "  ".join(one.choices)
                box = Input(one.value, placeholder=hint, id=one.name, suggester=suggester, password=one.secret)
                box.disabled = one.fixed
                box.cursor_blink = False
                yield box

    def on_mount(self) -> None:
        """Type at once, in the first field that can be changed."""
        next(box for box in self.query(Input) if not box.disabled).focus()

    def submit(self) -> None:
        """Send it, or say what is wrong."""
        try:
            self.send()
        except XaivaError as error:
            self.explain(error)

    def attempt(self, work: Callable[[], W], done: Callable[[W], object]) -> None:
        """Blocking work in a thread; what fails is said in the form."""
        self.say(lambda _: [line(Span("asking the service…", "dim"))])
        console_of(self).background(work, self._unless_left(done), self._unless_left(self.explain))

    def explain(self, error: XaivaError) -> None:
        """What is wrong, and the remedy."""
        text = f"{error.what}: {error.why}" if error.why else error.what
        self.say(
            lambda width: [
                *wrap(text, width, "error"),
                *(wrap(f"→ {error.remedy}", width, "accent", indent="  ") if error.remedy else []),
            ]
        )

    def yes(self, name: str) -> bool:
        """A field that says yes or no. Raises InputError for anything else."""
        said = self.value(name).lower()
        if said not in (YES, NO):
            raise InputError(name.replace("_", " "), f"“{said}” is neither yes nor no", "write yes or no")
        return said == YES

    def number(self, name: str) -> float | None:
        """A field with a figure, None when it is empty. Raises InputError."""
        said = self.value(name).replace(",", ".")
        if not said:
            return None
        try:
            return float(said)
        except ValueError:
            raise InputError(name.replace("_", " "), f"“{said}” is no number", "write a number") from None

    def action_list_known(self) -> None:
        """Pick one of the values that are known for the field."""
        from tui.screens.pick import Pick

        box = self.focused
        known = self._known.get(box.id or "", ()) if isinstance(box, Input) else ()
        if not isinstance(box, Input) or not known:
            return

        def picked(value: str | None) -> None:
            if value is not None:
                box.value = value

        self.app.push_screen(Pick(str(box.id).replace("_", " "), known, box.value), picked)

    def _unless_left(self, then: Callable[[W], object]) -> Callable[[W], object]:
        return lambda value: then(value) if self.is_attached else None
