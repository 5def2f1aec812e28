"""Builds: every kept build with its stages and log; a comparison of two builds."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from core.images.build_history import BuildComparison, BuildOutcome, BuildRecord, compare_builds, log_path
from core.log_lines import FileLines
from core.operations.model import Operation
from core.site_operations import site_ledger
from tui.actions import bindings
from tui.formatters import builds as build_format
from tui.formatters import operations as operation_format
from tui.formatters.cells import Line, line
from tui.screens.base import ListScreen
from tui.widgets.choice_list import ChoiceRow
from tui.widgets.log_panel import LogPanel
from tui.widgets.panel import Formatter, empty_content


class BuildsScreen(ListScreen):
    """The build history, newest first; beside it the build under the cursor, or its comparison with another."""

    NAME = "builds"
    SOURCE = "builds"
    SOURCES = ("builds", "build", "operations", "operation")
    TITLE = "Builds"
    COLUMNS = build_format.COLUMNS
    EMPTY = "no builds yet: open Presets (2) and press b"
    LOG = "Log"
    BINDINGS: ClassVar[list[Any]] = bindings("builds", "list")

    def __init__(self) -> None:
        super().__init__()
        self._open_stages = False
        self._comparing: tuple[str, str] | None = None  # (before, after)
        self._stages_of = 0  # the operation that the source `operation` is about
        self._started_here: tuple[str, float] | None = None  # preset and time of a build started on this screen

    def rows(self, value: list[BuildRecord]) -> list[ChoiceRow]:
        """One row per build; the cursor moves to one that was started here."""
        if self._started_here is not None:
            preset, since = self._started_here
            new = next((build.id for build in value if build.preset == preset and build.started >= since), "")
            if new:
                self._started_here = None
                self.choices.move_cursor_to_new(new)
        return [ChoiceRow(build.id, build_format.row(build), build) for build in value]

    def point_sources(self) -> None:
        """Ask for the stages of a running build again."""
        self._stages_of = 0

    def row_changed(self) -> None:
        """Show the build's log, and no comparison any more."""
        self._comparing = None
        if key := self.choices.key:
            self.query_one("#log", LogPanel).show(FileLines(log_path(self.site, key)), f"Log of build {key}")

    def detail(self) -> tuple[Formatter, str, str]:
        """The build's stages, or the comparison."""
        build = self.selected()
        if build is None:
            return empty_content, "", ""
        if self._comparing is not None:
            reading = self.reading("build")
            comparison: BuildComparison | None = reading.value
            return (partial(build_format.comparison_lines, comparison) if comparison else empty_content), *reading.state
        if (running := self._running_operation(build)) is not None:
            if running.id != self._stages_of:
                self._stages_of = running.id
                self.console.store.retarget("operation", partial(site_ledger(self.site).stages, running.id))
            reading = self.reading("operation")
            return partial(_running_lines, build, reading.value or [], self.console.parts.now()), *reading.state
        return partial(build_format.detail, build, self._open_stages), "", ""

    def _running_operation(self, build: BuildRecord) -> Operation | None:
        """The operation that runs this build; the build's own record has no stages before it ends."""
        if build.outcome is not BuildOutcome.RUNNING:
            return None
        operations: list[Operation] = self.reading("operations").value or []
        return next(
            (
                operation
                for operation in operations
                if operation.state.live and operation.kind == "build" and operation.subject == build.preset
            ),
            None,
        )

    def selected(self) -> BuildRecord | None:
        return self._build_by_id(self.choices.key)

    def _build_by_id(self, key: str) -> BuildRecord | None:
        builds: list[BuildRecord] = self.reading("builds").value or []
        return next((build for build in builds if build.id == key), None)

    # -- actions -------------------------------------------------------------------------------------------------------

    def action_stages(self) -> None:
        """Show or hide the steps of the stages."""
        self._comparing = None
        self._open_stages = not self._open_stages
        self.show_detail()

    def action_compare(self) -> None:
        """Compare with the marked build, else with the previous build of the same preset."""
        after = self.selected()
        before = self._previous_build(after) if after else None
        if after is None or before is None:
            reason = "no older build of this preset is kept: mark another with space" if after else "no build selected"
            self.notify(reason)
            return
        self._comparing = (before.id, after.id)
        self.console.store.retarget("build", partial(compare_builds, self.site, before, after))
        self.show_detail()

    def _previous_build(self, after: BuildRecord) -> BuildRecord | None:
        marked = [build for key in self.choices.marked if key != after.id and (build := self._build_by_id(key))]
        if marked:
            return marked[-1]
        builds: list[BuildRecord] = self.reading("builds").value or []
        older = (
            older_build
            for older_build in builds
            if older_build.preset == after.preset and older_build.started < after.started
        )
        return next(older, None)

    def action_build(self) -> None:
        if (build := self.selected()) is None:
            self.notify("no build selected: open Presets (2) and press b for the first one")
        else:
            self._started_here = build.preset, self.console.parts.now()
            self.start_operation("build", build.preset, {"target": build.target} if build.target != "runtime" else None)


def _running_lines(build: BuildRecord, stages: list[Any], now: float, width: int) -> list[Line]:
    return [
        *build_format.detail(build, False, width),
        line(),
        *operation_format.stage_lines(stages, now, width),
    ]
