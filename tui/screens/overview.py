"""Overview: everything that matters now, on one screen."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.containers import Container
from textual.widget import Widget

from tui.actions import bindings
from tui.screens.base import ConsoleScreen, trouble
from tui.widgets.panel import Panel, nothing

PANELS = {  # panel → (title, screen it opens)
    "gpus": ("GPUs", ""),
    "host": ("Host", ""),
    "alerts": ("Alerts", ""),
    "containers": ("Containers", "containers"),
    "cameras": ("Cameras", "cameras"),
    "operations": ("Operations", "operations"),
}
FORMATTERS = {  # panel → module of tui.present and its function
    "gpus": ("machine", "gpus"),
    "host": ("machine", "host"),
    "containers": ("containers", "short"),
    "cameras": ("cameras", "short"),
    "operations": ("overview", "operations"),
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
        for name, (module, function) in FORMATTERS.items():
            self._show(name, module, function)
        values = [self.reading(name).value for name in self.SOURCES]
        if any(value is not None for value in values):
            from tui.present import overview

            gpus, host, containers, cameras, operations, presets = values
            found = partial(overview.alerts, gpus, host, containers, cameras, operations, presets)
            self.query_one("#alerts", Panel).show(found)

    def _show(self, name: str, module: str, function: str) -> None:
        """A panel from its source. What draws it is imported with the first answer: the first frame is sooner there."""
        reading = self.reading(name)
        panel = self.query_one(f"#{name}", Panel)
        if reading.value is not None:
            formatter = getattr(importlib.import_module(f"tui.present.{module}"), function)
            panel.show(partial(formatter, reading.value), *reading.state)
        elif reading.error is not None:
            panel.show(partial(trouble, reading.error), *reading.state)
        else:
            panel.show(nothing, *reading.state)

    async def on_click(self, event: events.Click) -> None:
        """A panel opens its screen."""
        target = PANELS.get(event.widget.id or "", ("", ""))[1] if event.widget else ""
        if target:
            await self.console.switch_mode(target)

    def copy_text(self) -> str:
        """All panels."""
        return "\n\n".join(f"{panel.border_title}\n{panel.text}" for panel in self.query(Panel))
