"""Overview: everything that matters now, on one screen."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from textual.containers import Grid
from textual.widget import Widget

from tui.actions import bindings
from tui.present import overview as present
from tui.screens.base import ConsoleScreen
from tui.widgets.panel import Panel


class OverviewScreen(ConsoleScreen):
    """Panels only: nothing to choose, everything to see."""

    NAME = "overview"
    SOURCES = ("operations",)
    BINDINGS: ClassVar[list[Any]] = bindings("list")

    def body(self) -> Iterable[Widget]:
        """Six panels."""
        with Grid(id="overview"):
            yield Panel("Operations", id="operations")

    def feed(self) -> None:
        """Each panel from its source."""
        reading = self.reading("operations")
        self.query_one("#operations", Panel).show(partial(present.operations, reading.value), *reading.state)
