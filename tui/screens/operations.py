"""Operations: running and finished ones with stages and log; cancel, start again."""

from __future__ import annotations

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
    """All operations, newest first; beside them the stages and the log of the one under the cursor."""

    NAME = "operations"
    SOURCE = "operations"
    SOURCES = ("operations", "operation")
    TITLE = "Operations"
    COLUMNS = operation_format.COLUMNS
    EMPTY = "no operations yet: lock, sync or build a preset"
    LOG = "Log"
    NAME_CELLS = 2
    BINDINGS: ClassVar[list[Any]] = bindings("operations", "list")

    def __init__(self) -> None:
        super().__init__()
        self._only_live = False

    def rows(self, value: list[Operation]) -> list[ChoiceRow]:
        operations = [operation for operation in value if operation.state.live or not self._only_live]
        if value and not operations:
            self.choices.empty = "no operation is running: press u to show all"
        return [ChoiceRow(str(operation.id), operation_format.row(operation), operation) for operation in operations]

    def point_sources(self) -> None:
        if key := self.choices.key:
            self.console.store.retarget("operation", partial(site_ledger(self.site).stages, int(key)))

    def show_row(self, key: str) -> None:
        """Also that of a finished operation."""
        if self._only_live:
            self.action_only_live()
        super().show_row(key)

    def row_changed(self) -> None:
        if key := self.choices.key:
            path = site_ledger(self.site).log_path(int(key))
            self.query_one("#log", LogPanel).show(FileLines(path), f"Log of operation {key}")

    def detail(self) -> tuple[Formatter, str, str]:
        operation = self.selected()
        if operation is None:
            return empty_content, "", ""
        reading = self.reading("operation")
        return partial(
            operation_format.detail, operation, reading.value or [], self.console.parts.now()
        ), *reading.state

    def selected(self) -> Operation | None:
        operations: list[Operation] = self.reading("operations").value or []
        return next((operation for operation in operations if str(operation.id) == self.choices.key), None)

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_only_live(self) -> None:
        self._only_live = not self._only_live
        self.choices.border_title = "Operations · running" if self._only_live else self.TITLE
        self.feed()

    def action_cancel(self) -> None:
        operation = self.selected()
        if operation is None or not operation.state.live:
            self.notify("the operation has already ended" if operation else "no operation selected")
            return
        self.confirm(
            f"Cancel {operation.title()}?",
            f"Operation {operation.id} ends within a second. Finished parts stay; a later start continues from them.",
            "Cancel it",
            lambda: self.background(partial(site_ledger(self.site).cancel, operation.id), self._show_result),
        )

    def action_retry(self) -> None:
        if (operation := self.selected()) is None:
            return

        def preview() -> Formatter:
            look = self.console.parts.preview(operation.kind)
            if look is None:
                return lambda width: wrap("It continues from the finished parts.", width)
            return look(self.site, operation.subject, operation.options)

        def start() -> None:
            self.background(partial(site_ledger(self.site).retry, operation.id), self._show_result)

        self.ask_to_start(f"{operation.title().capitalize()} again", "Start again", preview, start)

    def _show_result(self, operation: Operation) -> None:
        self.console.store.ask_now("operations", "operation")
        self.notify(f"{operation.title()}: {operation.state.value}")
