"""Operations: what runs, what ran, stages and log; attach, cancel, start again."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, ClassVar

from core.log_lines import FileLines
from core.operations.model import Operation
from core.site_operations import site_ledger
from tui.actions import bindings
from tui.formatters import operations as operation_format
from tui.formatters.cells import wrap
from tui.screens.base import ListScreen
from tui.widgets.choice_list import ChoiceRow
from tui.widgets.log_panel import LogPanel
from tui.widgets.panel import Formatter, empty_content


class OperationsScreen(ListScreen):
    """The ledger, newest first; beside it the operation under the cursor. Opening it attaches, leaving it detaches."""

    NAME = "operations"
    SOURCE = "operations"
    SOURCES = ("operations", "operation")
    TITLE = "Operations"
    COLUMNS = operation_format.COLUMNS
    EMPTY = "no operation yet: lock, sync or build a preset"
    LOG = "Log"
    NAME_CELLS = 2
    BINDINGS: ClassVar[list[Any]] = bindings("operations", "list")

    def __init__(self) -> None:
        super().__init__()
        self._only_live = False

    def rows(self, value: list[Operation]) -> list[ChoiceRow]:
        """One row an operation."""
        operations = [operation for operation in value if operation.state.live or not self._only_live]
        if value and not operations:
            self.choices.empty = "no operation runs: o shows those that are over"
        return [ChoiceRow(str(operation.id), operation_format.row(operation)) for operation in operations]

    def point_sources(self) -> None:
        """At its stages."""
        if key := self.choices.key:
            self.console.store.retarget("operation", partial(site_ledger(self.site).stages, int(key)))

    def row_changed(self) -> None:
        """Its log."""
        if key := self.choices.key:
            path = site_ledger(self.site).log_path(int(key))
            self.query_one("#log", LogPanel).show(FileLines(path), f"Log of operation {key}")

    def detail(self) -> tuple[Formatter, str, str]:
        """State, failure or outcome, stages."""
        operation = self.selected()
        if operation is None:
            return empty_content, "", ""
        reading = self.reading("operation")
        return partial(operation_format.detail, operation, reading.value or [], time.time()), *reading.state

    def selected(self) -> Operation | None:
        """The operation under the cursor."""
        operations: list[Operation] = self.reading("operations").value or []
        return next((operation for operation in operations if str(operation.id) == self.choices.key), None)

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_only_live(self) -> None:
        """Hide or show what is over."""
        self._only_live = not self._only_live
        self.choices.border_title = "Operations · running" if self._only_live else self.TITLE
        self.feed()

    def action_cancel(self) -> None:
        """Ask, then ask it to end."""
        operation = self.selected()
        if operation is None or not operation.state.live:
            self.notify("it is over already" if operation else "no operation here")
            return
        self.confirm(
            f"Cancel {operation.title()}?",
            f"Operation {operation.id} ends within a second. What is complete stays; a later start goes on from there.",
            "End it",
            lambda: self.background(partial(site_ledger(self.site).cancel, operation.id), self._show_result),
        )

    def action_retry(self) -> None:
        """Ask with a preview, then start it again."""
        from tui.screens.start_operation import PREVIEWS

        if (operation := self.selected()) is None:
            return

        def preview() -> Formatter:
            look = PREVIEWS.get(operation.kind)
            if look is None:
                return lambda width: wrap("It goes on from what is complete.", width)
            return look(self.site, operation.subject, operation.options)

        def start() -> None:
            self.background(partial(site_ledger(self.site).retry, operation.id), self._show_result)

        self.ask_to_start(f"{operation.title().capitalize()} again", "Start again", preview, start)

    def _show_result(self, operation: Operation) -> None:
        self.console.store.ask_now("operations", "operation")
        self.notify(f"{operation.title()}: {operation.state.value}")
