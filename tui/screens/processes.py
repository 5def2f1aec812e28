"""Processes: what uses the GPUs, and what runs in containers; end one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from textual.widget import Widget

from core.containers.processes import ListedProcess
from tui.actions import bindings
from tui.formatters import processes as process_format
from tui.process_source import Processes
from tui.screens.base import ListScreen, stale_lines
from tui.widgets.choice_list import ChoiceRow
from tui.widgets.panel import Formatter, Panel, empty_content

ENGINE_SECONDS = 30.0  # a stop waits until the container has ended


class ProcessesScreen(ListScreen):
    """The processes; below them the GPUs over time, and the process under the cursor."""

    NAME = "processes"
    SOURCE = "processes"
    SOURCES = ("gpus", "processes")
    TITLE = "Processes"
    COLUMNS = process_format.COLUMNS
    EMPTY = "no process uses a GPU or runs in a container"
    NAME_CELLS = 2
    BINDINGS: ClassVar[list[Any]] = bindings("processes", "list")

    def above_detail(self) -> Iterable[Widget]:
        yield Panel("GPUs", id="gpus")

    def rows(self, value: Processes) -> list[ChoiceRow]:
        if value.engine_error is not None or value.problems:
            self.choices.empty = "no process uses a GPU; those of containers are unknown"
        return [ChoiceRow(process.key, process_format.row(process), process) for process in value.processes]

    def feed(self) -> None:
        super().feed()
        panel, gpus = self.query_one("#gpus", Panel), self.reading("gpus")
        listing: Processes | None = self.reading("processes").value
        if gpus.is_stale:
            panel.show(partial(stale_lines, gpus), *gpus.state)
            return
        error = listing.engine_error if listing else None
        problems = listing.problems if listing else []
        panel.show(partial(process_format.gpu_lines, gpus.value, error, problems), *gpus.state)

    def detail(self) -> tuple[Formatter, str, str]:
        process, listing = self.selected(), self.reading("processes").value
        if process is None or listing is None:
            return empty_content, "", ""
        return partial(process_format.detail, process, listing.trends.get(process.key, {})), "", ""

    def selected(self) -> ListedProcess | None:
        """The process under the cursor."""
        listing: Processes | None = self.reading("processes").value
        return next((p for p in listing.processes if p.key == self.choices.key), None) if listing else None

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_kill(self) -> None:
        """Ask how to end the process under the cursor, then do that."""
        from tui.screens.kill import KillDialog

        process = self.selected()
        if process is None:
            self.notify("no process selected")
        elif self.stale_reading() is not None or not process.can_be_ended:
            self.notify(process_format.ELSEWHERE if not process.can_be_ended else "the processes are not known now")
        else:
            self.app.push_screen(KillDialog(process), partial(self._end, process))

    def _end(self, process: ListedProcess, choice: str | None) -> None:
        if choice == "stop":
            self.background(partial(self._stop_container, process.container), self._told)
        elif choice is not None:
            self.background(partial(self._send_signal, process, choice == "kill"), self._told)

    def _told(self, words: str) -> None:
        self.console.store.ask_now("processes")
        self.notify(words)

    def _stop_container(self, name: str) -> str:
        from contextlib import closing

        from core.containers.manage import stop_container
        from core.engine import connect_engine

        with closing(connect_engine(self.site, ENGINE_SECONDS)) as client:
            stop_container(client, name)
        return f"{name}: stopped"

    @staticmethod
    def _send_signal(process: ListedProcess, kill: bool) -> str:
        from core.telemetry.process_end import END_SECONDS, end_process

        if end_process(process.pid, process.started, kill=kill):
            return f"process {process.pid}: ended"
        hint = "" if kill else "; X, then Kill, ends it at once"
        return f"process {process.pid} still runs after {END_SECONDS:.0f} s{hint}"
