"""What the dialogs with fields share: labels, fields, work done once at a time, a place for what is wrong, buttons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Checkbox, Input, Label

from core.errors import Cancelled, XaivaError
from tui.app_protocol import console_of
from tui.formatters.cells import Line, Span, line, wrap
from tui.widgets.button import Button
from tui.widgets.panel import Panel

if TYPE_CHECKING:
    from core.site import Site

T = TypeVar("T")
W = TypeVar("W")


def labelled_input(label: str, name: str, value: str = "", hint: str = "") -> Iterable[Widget]:
    """A label and a line to type in."""
    yield Label(label)
    box = Input(value, placeholder=hint, id=name)
    box.cursor_blink = False
    yield box


class Form(ModalScreen[T]):
    """A dialog with fields. Enter in a field, on a tick or on the button submits; Esc leaves everything as it was.

    With something typed Esc asks first: what was typed would be lost.
    """

    VERB: ClassVar[str] = "OK"
    WIDE: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Cancel"),
        Binding("enter", "submit", "Submit", show=False),  # while a tick has the keys
        Binding("y", "submit", "Yes", show=False),  # while a button or a tick has the keys: a field takes letters
        Binding("n", "leave", "No", show=False),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]

    def __init__(self, title: str, site: Site) -> None:
        super().__init__()
        self._title = title
        self.site = site
        self.busy = False  # while `attempt` works
        self._confirming_leave = False  # whether to leave
        self._pending_result: Callable[[], object] | None = None  # what succeeded meanwhile

    def compose_fields(self) -> Iterable[Widget]:
        """The fields."""
        return ()

    def extra_buttons(self) -> Iterable[Widget]:
        """What else can be done with what stands in the fields."""
        return ()

    def submit(self) -> None:
        """The fields are filled in."""

    def compose(self) -> ComposeResult:
        """Fields, what is found, buttons."""
        with Vertical(classes="dialog form" + (" -wide-form" if self.WIDE else "")) as dialog:
            dialog.border_title = self._title
            with VerticalScroll(classes="fields"):
                yield from self.compose_fields()
            yield Panel(id="said")
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="leave")
                yield from self.extra_buttons()
                yield Button(self.VERB, id="submit", variant="primary")

    def on_mount(self) -> None:
        """Remember what stands in the fields before anything is typed."""
        self._initial_values = self._current_values()

    def _current_values(self) -> dict[str, str | bool]:
        texts = {str(box.id): box.value for box in self.query(Input)}
        return {**texts, **{str(box.id): box.value for box in self.query(Checkbox)}}

    @property
    def unsaved(self) -> bool:
        """Whether leaving would lose what was typed; what is being sent would be lost if that fails."""
        return self.is_mounted and self._current_values() != self._initial_values

    def value(self, name: str) -> str:
        """What stands in a field."""
        return self.query_one(f"#{name}", Input).value.strip()

    def show_message(self, formatter: Callable[[int], list[Line]], state: str = "") -> None:
        """Show something below the fields."""
        panel = self.query_one("#said", Panel)
        panel.add_class("-open")
        panel.can_focus = True  # Tab brings the keys there: it may be long
        panel.show(formatter, state)

    def background(self, work: Callable[[], W], done: Callable[[W], object]) -> None:
        """Blocking work in a thread; `done` is not called for a form that was left meanwhile."""
        console_of(self).background(work, lambda result: done(result) if self.is_attached else None)

    def run_once(self, work: Callable[[], W], done: Callable[[W], object], progress_text: str = "asking…") -> None:
        """What the form is for, in a thread; asked for twice it is done once. What fails is said in the form.

        What is typed meanwhile waits: it is for the form when that stays open, for the screen below when it does not.
        """
        if self.busy:
            return
        self.busy = True
        self.show_message(lambda _: [line(Span(progress_text, "dim"))])
        release = console_of(self).hold_keys(self.action_leave)

        def succeeded(result: W) -> None:
            self.busy = False
            if self.is_attached and self._confirming_leave:
                self._pending_result = partial(done, result)
            elif self.is_attached:
                done(result)
            release()

        def failed(error: XaivaError) -> None:
            self.busy = False
            if self.is_attached:
                self.show_error(error)
            elif not isinstance(error, Cancelled):
                console_of(self).show_error(error)
            release()

        console_of(self).background(work, succeeded, failed)

    def show_error(self, error: XaivaError) -> None:
        """What is wrong, and the remedy."""
        text = error.summary
        self.show_message(
            lambda width: [
                *wrap(text, width, "error"),
                *(wrap(f"→ {error.remedy}", width, "accent", indent="  ") if error.remedy else []),
            ]
        )

    @on(Button.Pressed, "#submit")
    @on(Input.Submitted)
    def action_submit(self) -> None:
        """As the fields say."""
        self.submit()

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        """Nothing happens; what was typed is asked about first."""
        from tui.screens.confirm import Confirm

        warning = "It is being sent. If that fails, what was typed is lost." if self.busy else "What was typed is lost."
        if self.unsaved:
            self._confirming_leave = True
            self.app.push_screen(Confirm("Leave the form?", warning, "Leave"), self._leave_answered)
        else:
            self.leave()

    def _leave_answered(self, leave: bool | None) -> None:
        self._confirming_leave = False
        if self._pending_result is not None:
            self._pending_result()
        elif leave:
            self.leave()

    def leave(self) -> None:
        """Close it."""
        self.dismiss(None)
