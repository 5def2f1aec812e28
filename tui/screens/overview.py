"""Overview: everything that matters now, on one screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.containers import Container
from textual.widget import Widget

from tui.actions import bindings
from tui.present.cells import Line
from tui.screens.base import ConsoleScreen, trouble
from tui.widgets.panel import Panel

PANELS = {  # panel → (title, screen it opens)
    "gpus": ("GPUs", ""),
    "host": ("Host", ""),
    "alerts": ("Alerts", ""),
    "containers": ("Containers", "containers"),
    "cameras": ("Cameras", "cameras"),
    "operations": ("Operations", "operations"),
}


class OverviewScreen(ConsoleScreen):
    """Panels only: nothing to choose, everything to see."""

    NAME = "overview"
    SOURCES = ("gpus", "host", "containers", "cameras", "operations", "presets")
    BINDINGS: ClassVar[list[Any]] = bindings("overview")

    def body(self) -> Iterable[Widget]:
        """Six panels."""
        with Container(id="overview"):
            for name, (title, _) in PANELS.items():
                yield Panel(title, id=name)

    def feed(self) -> None:
        """Each panel from its source."""
        from tui.present import cameras, containers, machine, overview

        self._show("gpus", machine.gpus)
        self._show("host", machine.host)
        self._show("containers", containers.short)
        self._show("cameras", cameras.short)
        self._show("operations", overview.operations)
        values = [self.reading(name).value for name in self.SOURCES]
        self.query_one("#alerts", Panel).show(partial(overview.alerts, *values))

    def _show(self, name: str, formatter: Callable[[Any, int], list[Line]]) -> None:
        reading = self.reading(name)
        panel = self.query_one(f"#{name}", Panel)
        if reading.value is None and reading.error is not None:
            panel.show(partial(trouble, reading.error), *reading.state)
        else:
            panel.show(partial(formatter, reading.value), *reading.state)

    async def on_click(self, event: events.Click) -> None:
        """A panel opens its screen."""
        target = PANELS.get(event.widget.id or "", ("", ""))[1] if event.widget else ""
        if target:
            await self.console.switch_mode(target)

    def copy_text(self) -> str:
        """All panels."""
        return "\n\n".join(f"{panel.border_title}\n{panel.text}" for panel in self.query(Panel))
