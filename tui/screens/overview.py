"""Overview: everything that matters now, on one screen."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from textual import events
from textual.containers import Container
from textual.widget import Widget

from tui.actions import bindings
from tui.screens.base import ConsoleScreen, error_lines
from tui.store import Reading
from tui.widgets.panel import Panel, empty_content

PANELS = {  # panel → (title, screen it opens)
    "gpus": ("GPUs", ""),
    "host": ("Host", ""),
    "alerts": ("Alerts", ""),
    "containers": ("Containers", "containers"),
    "cameras": ("Cameras", "cameras"),
    "operations": ("Operations", "operations"),
}
FORMATTERS = {  # panel → module of tui.formatters, function
    "gpus": ("machine", "gpu_lines"),
    "host": ("machine", "host_lines"),
    "containers": ("containers", "summary"),
    "cameras": ("cameras", "summary"),
    "operations": ("overview", "operation_lines"),
}


class OverviewScreen(ConsoleScreen):
    """Six panels; a click on one opens its screen."""

    NAME = "overview"
    SOURCES = ("gpus", "host", "containers", "cameras", "operations", "presets")
    BINDINGS: ClassVar[list[Any]] = bindings("overview")

    def body(self) -> Iterable[Widget]:
        with Container(id="overview"):
            for name, (title, _) in PANELS.items():
                yield Panel(title, id=name)

    def reading(self, name: str) -> Reading[Any]:
        """The newest reading; the service's is stale when its container has stopped since."""
        reading, containers = super().reading(name), super().reading("containers")
        if name != "cameras" or reading.value is None or containers.is_stale or containers.value is None:
            return reading
        from tui.formatters.overview import stopped_container_error

        error = stopped_container_error(reading, containers, self.console.service_address)
        return replace(reading, error=error) if error is not None else reading

    def feed(self) -> None:
        for name, (module, function) in FORMATTERS.items():
            self._show_panel(name, module, function)
        readings = {name: self.reading(name) for name in self.SOURCES}
        if any(reading.value is not None for reading in readings.values()):
            from tui.formatters import overview

            values = [None if reading.is_stale else reading.value for reading in readings.values()]
            gpus, host, running, cameras, operations, presets = values
            failed_sources = overview.source_failures([*readings.values(), self.reading("settings")])
            formatter = partial(
                overview.alert_lines,
                gpus,
                host,
                running,
                cameras,
                operations,
                presets,
                failed_sources=failed_sources,
                now=self.console.parts.now(),
            )
            self.query_one("#alerts", Panel).show(formatter)

    def _show_panel(self, name: str, module: str, function: str) -> None:
        """Update a panel. Its formatter is imported with the first answer, so that the first frame comes sooner."""
        reading = self.reading(name)
        panel = self.query_one(f"#{name}", Panel)
        if reading.is_stale:
            from tui.formatters import overview

            panel.show(
                partial(overview.unknown_lines, reading, overview.item_names(name, reading.value)), *reading.state
            )
        elif reading.value is not None:
            formatter = getattr(importlib.import_module(f"tui.formatters.{module}"), function)
            panel.show(partial(formatter, reading.value), *reading.state)
        elif reading.error is not None:
            panel.show(partial(error_lines, reading.error), *reading.state)
        else:
            panel.show(empty_content, *reading.state)

    async def on_click(self, event: events.Click) -> None:
        target = PANELS.get(event.widget.id or "", ("", ""))[1] if event.widget else ""
        if target:
            await self.console.switch_mode(target)

    def copy_text(self) -> str:
        return "\n\n".join(f"{panel.border_title}\n{panel.text}" for panel in self.query(Panel))
