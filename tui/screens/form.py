"""What the dialogs with fields share: labels, fields, a place for what is wrong, two buttons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Label

from tui.console_app import console_of
from tui.present.cells import Line
from tui.widgets.panel import Panel

if TYPE_CHECKING:
    from core.site import Site

T = TypeVar("T")
W = TypeVar("W")


def field(label: str, name: str, value: str = "", hint: str = "") -> Iterable[Widget]:
    """A label and a line to type in."""
    yield Label(label)
    box = Input(value, placeholder=hint, id=name)
    box.cursor_blink = False
    yield box


class Form(ModalScreen[T]):
    """A dialog with fields. Enter in a field or the button submits; Esc leaves everything as it was."""

    VERB: ClassVar[str] = "OK"
    WIDE: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Cancel")]

    def __init__(self, title: str, site: Site) -> None:
        super().__init__()
        self._title = title
        self.site = site

    def fields(self) -> Iterable[Widget]:
        """The fields."""
        return ()

    def more_buttons(self) -> Iterable[Widget]:
        """What else can be done with what stands in the fields."""
        return ()

    def submit(self) -> None:
        """The fields are filled in."""

    def compose(self) -> ComposeResult:
        """Fields, what is found, buttons."""
        with Vertical(classes="dialog form" + (" -wide-form" if self.WIDE else "")) as dialog:
            dialog.border_title = self._title
            with VerticalScroll(classes="fields"):
                yield from self.fields()
            yield Panel(id="said")
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="leave")
                yield from self.more_buttons()
                yield Button(self.VERB, id="submit", variant="primary")

    def value(self, name: str) -> str:
        """What stands in a field."""
        return self.query_one(f"#{name}", Input).value.strip()

    def say(self, formatter: Callable[[int], list[Line]], state: str = "") -> None:
        """Show something below the fields."""
        panel = self.query_one("#said", Panel)
        panel.add_class("-open")
        panel.show(formatter, state)

    def background(self, work: Callable[[], W], done: Callable[[W], object]) -> None:
        """Blocking work in a thread."""
        console_of(self).background(work, done)

    @on(Button.Pressed, "#submit")
    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.submit()

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        """Nothing happens."""
        self.dismiss(None)
