"""Asks how to end a process. Cancel has the focus, so Enter alone never ends anything."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Label

from core.containers.processes import ListedProcess
from core.terminal_text import escape_invisible
from tui.formatters.cells import truncate
from tui.widgets.button import Button

COMMAND_COLUMNS = 200  # of a long command line, so that the buttons stay in view


class KillDialog(ModalScreen[str]):
    """Returns "terminate", "kill" or "stop" (its container); None when the dialog was cancelled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "leave", "Cancel"),
        Binding("left", "app.focus_previous", "Previous button", show=False),
        Binding("right", "app.focus_next", "Next button", show=False),
    ]

    def __init__(self, process: ListedProcess) -> None:
        super().__init__()
        self._process = process

    def compose(self) -> ComposeResult:
        process = self._process
        facts = {
            "PID": str(process.pid),
            "owner": process.owner or "unknown",
            "container": process.container or "none",
            "command": truncate(process.command, COMMAND_COLUMNS),
        }
        text = "\n".join(f"{name:<10} {escape_invisible(value)}" for name, value in facts.items())
        if process.ours:
            text += "\n\nxaiva launched this container. Better choose Stop: it stops the whole container in order."
        text += "\n\nEnd asks the process to end. Kill gives it no chance to save anything."
        with Vertical(classes="dialog -danger") as dialog:
            dialog.border_title = f"End process {process.pid}?"
            dialog.border_subtitle = "← → choose · n or Esc no"
            yield Label(text, markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel")
                if process.ours:
                    yield Button("Stop", id="stop")
                yield Button("End", id="terminate")
                yield Button("Kill", id="kill", variant="error")

    def on_mount(self) -> None:
        self.query_one("#cancel", Button).focus()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(None if event.button.id == "cancel" else event.button.id)

    def action_leave(self) -> None:
        self.dismiss(None)
