"""Artifacts: what is locked, what is on disk, what a sync would do; lock, sync, verify."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from core.operations.model import Operation
from core.site_operations import site_ledger
from tui.actions import bindings
from tui.formatters import operations as operation_format
from tui.formatters import presets as preset_format
from tui.formatters.cells import Line, Span, enum_span, line, wrap
from tui.screens.preset_list import PresetListScreen
from tui.sources import PresetView
from tui.widgets.choice_list import ChoiceRow
from tui.widgets.panel import Formatter, empty_content

if TYPE_CHECKING:
    from core.artifacts.sync_plan import SyncPlan

OPERATION_KINDS = ("lock", "sync", "verify", "wheel")


class ArtifactsScreen(PresetListScreen):
    """One row per preset; beside it the lock, the sync plan, and the newest operation."""

    NAME = "artifacts"
    SOURCES = ("presets", "operations", "operation", "plan")
    TITLE = "Artifacts"
    COLUMNS = preset_format.ARTIFACT_COLUMNS
    STATE_SOURCES = ("operations",)
    EMPTY = "no presets yet: open Presets (2) and press n"
    BINDINGS: ClassVar[list[Any]] = bindings("artifacts", "list")

    def __init__(self) -> None:
        super().__init__()
        self._stages_of = 0
        self._plan_of = ""  # the preset that the source `plan` is about

    def rows(self, value: list[PresetView]) -> list[ChoiceRow]:
        """One row per preset, with the operation that holds it."""
        items = [(view, self._holder(view.entry.name)) for view in value]
        return [ChoiceRow(item[0].entry.name, preset_format.artifact_row(*item), item) for item in items]

    def point_sources(self) -> None:
        """Ask for the stages of the newest operation again."""
        self._stages_of = 0

    def _plan(self, name: str) -> SyncPlan:
        from core.artifacts.sync_plan import plan

        return plan(self.site, name)

    def detail(self) -> tuple[Formatter, str, str]:
        """The newest operation, the lock and the plan."""
        view = self.selected()
        if view is None:
            return empty_content, "", ""
        if (
            view.lock is not None and view.entry.name != self._plan_of
        ):  # also after a preset was locked for the first time
            self._plan_of = view.entry.name
            self.console.store.retarget("plan", partial(self._plan, view.entry.name))
        reading = self.reading("plan")
        no_plan_reason = "checking the files on disk…"
        if reading.is_stale or reading.error is not None:
            no_plan_reason = str(reading.problem)
        latest = self._latest(view.entry.name)
        if latest is not None and latest.id != self._stages_of:
            self._stages_of = latest.id
            self.console.store.retarget("operation", partial(site_ledger(self.site).stages, latest.id))
        stages = self.reading("operation").value or []
        state = reading.state if view.lock is not None else ("", "")
        plan = None if reading.is_stale else reading.value
        return partial(_artifact_lines, view, plan, no_plan_reason, latest, stages, self.console.parts.now()), *state

    def _operations(self, name: str) -> list[Operation]:
        operations: list[Operation] = self.reading("operations").value or []
        return [operation for operation in operations if operation.subject == name]

    def _holder(self, name: str) -> Operation | None:
        return next((operation for operation in self._operations(name) if operation.state.live), None)

    def _latest(self, name: str) -> Operation | None:
        return next(
            (
                operation
                for operation in self._operations(name)
                if operation.kind in OPERATION_KINDS or operation.state.live
            ),
            None,
        )

    # -- actions -------------------------------------------------------------------------------------------------------

    def _start(self, kind: str, options: dict[str, Any] | None = None) -> None:
        view = self.selected()
        if view is None or view.entry.preset is None:
            self.notify("this preset has errors: edit it first (2, then e)" if view else "no preset selected")
            return
        self.start_operation(kind, view.entry.name, options)

    def action_lock(self) -> None:
        self._start("lock")

    def action_upgrade(self) -> None:
        self._start("lock", {"upgrade": True})

    def action_sync(self) -> None:
        self._start("sync")

    def action_verify(self) -> None:
        self._start("verify")

    async def action_follow(self) -> None:
        view = self.selected()
        latest = self._latest(view.entry.name) if view else None
        if latest is None:
            self.notify("no operation has run on this preset yet")
            return
        await self.console.open_row("operations", str(latest.id))


def _artifact_lines(
    view: PresetView,
    plan: SyncPlan | None,
    no_plan_reason: str,
    latest: Operation | None,
    stages: list[Any],
    now: float,
    width: int,
) -> list[Line]:
    out: list[Line] = []
    if latest is not None:
        head = Span(operation_format.running_since(latest), "title" if latest.state.live else "dim")
        out += [line(enum_span(operation_format.STATE_SPANS, latest.state), "  ", head)]
        out += operation_format.stage_lines(stages, now, width) if latest.state.live else []
        if latest.failure is not None:
            out += wrap(latest.failure.summary, width, "error")
            out += wrap(f"→ {latest.failure.remedy}", width, "accent", indent="  ") if latest.failure.remedy else []
        out.append(line())
    return out + preset_format.artifact_lines(view, plan, no_plan_reason, width)
