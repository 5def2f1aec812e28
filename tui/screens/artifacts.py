"""Artifacts: what is locked, what is there, what a sync would do; lock, sync, verify."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from core.operations.ledger import Ledger
from core.operations.model import Operation
from tui.actions import bindings
from tui.present import operations as present_operations
from tui.present import presets as present
from tui.present.cells import Line, Span, line, word, wrap
from tui.screens.preset_list import PresetListScreen
from tui.sources import PresetView
from tui.widgets.choice_list import ChoiceRow
from tui.widgets.panel import Formatter, empty_content

if TYPE_CHECKING:
    from core.artifacts.sync_plan import SyncPlan

KINDS = ("lock", "sync", "verify", "wheel")


class ArtifactsScreen(PresetListScreen):
    """One row a preset; beside it what is locked, the plan, or the operation that works on it right now."""

    NAME = "artifacts"
    SOURCES = ("presets", "operations", "operation", "plan")
    TITLE = "Artifacts"
    COLUMNS = present.ARTIFACT_COLUMNS
    ALSO = ("operations",)
    EMPTY = "no preset yet: n on the screen Presets (2) writes one"
    BINDINGS: ClassVar[list[Any]] = bindings("artifacts", "list")

    def __init__(self) -> None:
        super().__init__()
        self._followed = 0
        self._planned = ""  # the preset whose plan is asked for

    def rows(self, value: list[PresetView]) -> list[ChoiceRow]:
        """One row a preset, with what holds it."""
        return [ChoiceRow(view.entry.name, present.artifact_row(view, self._holder(view.entry.name))) for view in value]

    def aim(self) -> None:
        """The stages of its newest operation are asked for again."""
        self._followed = 0

    def _plan(self, name: str) -> SyncPlan:
        from core.artifacts.sync_plan import plan

        return plan(self.site, name)

    def detail(self) -> tuple[Formatter, str, str]:
        """The lock and the plan; the newest operation above them."""
        view = self.selected()
        if view is None:
            return empty_content, "", ""
        if view.lock is not None and view.entry.name != self._planned:  # also one that was locked just now
            self._planned = view.entry.name
            self.console.store.point("plan", partial(self._plan, view.entry.name))
        reading = self.reading("plan")
        why = "looking at what is there…"
        if reading.lost or reading.error is not None:
            why = str(reading.trouble)
        latest = self._latest(view.entry.name)
        if latest is not None and latest.id != self._followed:
            self._followed = latest.id
            self.console.store.point("operation", partial(Ledger(self.site).stages, latest.id))
        stages = self.reading("operation").value or []
        state = reading.state if view.lock is not None else ("", "")
        plan = None if reading.lost else reading.value
        return partial(_whole, view, plan, why, latest, stages), *state

    def _operations(self, name: str) -> list[Operation]:
        found: list[Operation] = self.reading("operations").value or []
        return [one for one in found if one.subject == name]

    def _holder(self, name: str) -> Operation | None:
        return next((one for one in self._operations(name) if one.state.live), None)

    def _latest(self, name: str) -> Operation | None:
        return next((one for one in self._operations(name) if one.kind in KINDS or one.state.live), None)

    # -- actions -------------------------------------------------------------------------------------------------------

    def _start(self, kind: str, options: dict[str, Any] | None = None) -> None:
        view = self.selected()
        if view is None or view.entry.preset is None:
            self.notify("this preset cannot be used" if view else "no preset here")
            return
        self.start_operation(kind, view.entry.name, options)

    def action_lock(self) -> None:
        """Start a lock."""
        self._start("lock")

    def action_upgrade(self) -> None:
        """Start a lock that takes newer versions."""
        self._start("lock", {"upgrade": True})

    def action_sync(self) -> None:
        """Start a sync."""
        self._start("sync")

    def action_verify(self) -> None:
        """Start a verify."""
        self._start("verify")

    async def action_follow(self) -> None:
        """Open the operation with its log."""
        view = self.selected()
        latest = self._latest(view.entry.name) if view else None
        if latest is None:
            self.notify("nothing has worked on this preset yet")
            return
        await self.console.open_operation(latest.id)


def _whole(
    view: PresetView, plan: SyncPlan | None, why: str, latest: Operation | None, stages: list[Any], width: int
) -> list[Line]:
    out: list[Line] = []
    if latest is not None:
        head = Span(present_operations.holder(latest), "title" if latest.state.live else "dim")
        out += [line(word(present_operations.STATES, latest.state), "  ", head)]
        out += present_operations.stage_lines(stages, time.time(), width) if latest.state.live else []
        if latest.failure is not None:
            out += wrap(f"{latest.failure.what}: {latest.failure.why}", width, "error")
            out += wrap(f"→ {latest.failure.remedy}", width, "accent", indent="  ") if latest.failure.remedy else []
        out.append(line())
    return out + present.artifacts(view, plan, why, width)
