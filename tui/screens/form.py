"""The base of all dialogs with fields: labels, fields, buttons, messages, and work that runs once at a time."""

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
from textual.widgets import Checkbox, Input

from core.errors import Cancelled, XaivaError
from tui.app_protocol import console_of
from tui.formatters.cells import Line, Span, line, wrap
from tui.widgets.button import Button
from tui.widgets.panel import Panel

if TYPE_CHECKING:
    from core.site import Site

T = TypeVar("T")
W = TypeVar("W")


class Form(ModalScreen[T]):
    """A dialog with fields. Enter in a field, on a checkbox or on the button submits; Esc cancels.

    When something was typed, Esc asks first, because it would be lost.
    """

    VERB: ClassVar[str] = "OK"
    WIDE: ClassVar[bool] = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Cancel"),
        Binding("enter", "submit", "Submit", show=False),  # while a checkbox has the focus
        Binding("y", "submit", "Yes", show=False),  # while a button or checkbox has the focus: a field takes letters
        Binding("n", "leave", "No", show=False),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]

    def __init__(self, title: str, site: Site) -> None:
        super().__init__()
        self._title = title
        self.site = site
        self.busy = False  # while `run_once` works
        self._confirming_leave = False  # the question whether to leave is open
        self._pending_result: Callable[[], object] | None = None  # calls `done` with the result that came meanwhile

    def compose_fields(self) -> Iterable[Widget]:
        return ()

    def extra_buttons(self) -> Iterable[Widget]:
        return ()

    def submit(self) -> None:
        """Called when the user submits the form."""

    def compose(self) -> ComposeResult:
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
        self._initial_values = self._current_values()

    def _current_values(self) -> dict[str, str | bool]:
        texts = {str(box.id): box.value for box in self.query(Input)}
        return {**texts, **{str(box.id): box.value for box in self.query(Checkbox)}}

    @property
    def unsaved(self) -> bool:
        """Whether leaving would lose input; input that is being sent is lost if sending fails."""
        return self.is_mounted and self._current_values() != self._initial_values

    def value(self, name: str) -> str:
        """The text of a field, without blanks at its ends."""
        return self.query_one(f"#{name}", Input).value.strip()

    def show_message(self, formatter: Callable[[int], list[Line]], state: str = "") -> None:
        """Show lines below the fields."""
        panel = self.query_one("#said", Panel)
        panel.add_class("-open")
        panel.can_focus = True  # so that Tab reaches it: it may need scrolling
        panel.show(formatter, state)

    def background(self, work: Callable[[], W], done: Callable[[W], object]) -> None:
        """Run blocking work in a thread; `done` is not called when the form was left meanwhile."""
        console_of(self).background(work, lambda result: done(result) if self.is_attached else None)

    def run_once(self, work: Callable[[], W], done: Callable[[W], object], progress_text: str = "sending…") -> None:
        """Run the form's work in a thread, once even if it is submitted twice; errors are shown in the form.

        Keys typed meanwhile wait: they go to the form if it stays open, else to the screen below.
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
        """Show what is wrong and the remedy."""
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
        self.submit()

    @on(Button.Pressed, "#leave")
    def action_leave(self) -> None:
        """Close the form; ask first when something was typed."""
        from tui.screens.confirm import Confirm

        warning = "The form is being sent. If that fails, your input is lost." if self.busy else "Your input is lost."
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
        """Close the form without a result."""
        self.dismiss(None)
