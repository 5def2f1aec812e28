"""Operations: what runs, what ran, stages and log; attach, cancel, start again."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from core.operations.ledger import Ledger
from core.operations.model import Operation
from tui.actions import bindings
from tui.present import operations as present
from tui.screens.base import ConsoleScreen
from tui.widgets.choice_list import ChoiceList, Row
from tui.widgets.panel import Panel


class OperationsScreen(ConsoleScreen):
    """The ledger, newest first; beside it the operation under the cursor."""

    NAME = "operations"
    SOURCES = ("operations", "operation")
    BINDINGS: ClassVar[list[Any]] = bindings("operations", "list")

    def __init__(self) -> None:
        super().__init__()
        self._only_live = False

    def body(self) -> Iterable[Widget]:
        """The list, and the one under the cursor."""
        choices = ChoiceList(present.COLUMNS, empty="no operation yet: lock, sync or build a preset", id="choices")
        choices.border_title = "Operations"
        with Horizontal(classes="columns"):
            yield choices
            with Vertical(classes="main"):
                yield Panel("Stages", id="detail")

    def on_mount(self) -> None:
        """Keys go to the list."""
        self.query_one("#choices").focus()

    def feed(self) -> None:
        """The list and the operation under the cursor."""
        reading = self.reading("operations")
        operations: list[Operation] = reading.value or []
        shown = [operation for operation in operations if operation.state.live or not self._only_live]
        rows = [Row(str(operation.id), present.row(operation)) for operation in shown]
        self.query_one("#choices", ChoiceList).show(rows, *reading.state)
        self._show_detail()

    def selected(self) -> Operation | None:
        """The operation under the cursor."""
        key = self.query_one("#choices", ChoiceList).key
        operations: list[Operation] = self.reading("operations").value or []
        return next((operation for operation in operations if str(operation.id) == key), None)

    @on(ChoiceList.Highlighted)
    def _highlighted(self, event: ChoiceList.Highlighted) -> None:
        if event.key:
            self.console.store.point("operation", partial(Ledger(self.site).stages, int(event.key)))
        self._show_detail()

    def _show_detail(self) -> None:
        operation = self.selected()
        panel = self.query_one("#detail", Panel)
        if operation is None:
            panel.show(lambda _width: [])
            return
        reading = self.reading("operation")
        panel.show(partial(present.detail, operation, reading.value or [], time.time()), *reading.state)

    def copy_text(self) -> str:
        """The operation as shown."""
        return self.query_one("#detail", Panel).text

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_only_live(self) -> None:
        """Hide or show what is over."""
        self._only_live = not self._only_live
        self.feed()

    def action_cancel(self) -> None:
        """Ask, then ask it to end."""
        operation = self.selected()
        if operation is None or not operation.state.live:
            self.notify("it is over already" if operation else "no operation here")
            return
        self.confirm(
            f"Cancel {operation.title()}?",
            f"Operation {operation.id} ends within a second. What is complete stays, and a later start goes on from there.",
            "Cancel the operation",
            lambda: self.background(partial(Ledger(self.site).cancel, operation.id), self._asked),
        )

    def action_retry(self) -> None:
        """Start it again."""
        if (operation := self.selected()) is not None:
            self.background(partial(Ledger(self.site).retry, operation.id), self._asked)

    def _asked(self, operation: Operation) -> None:
        self.console.store.ask_now("operations", "operation")
        self.notify(f"{operation.title()}: {operation.state.value}")
