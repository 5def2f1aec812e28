"""Statistics: events per day, by hour, by type and by camera."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from textual.containers import Container
from textual.widget import Widget

from core.api_schema import ServiceStatus, StatisticsQuery
from tui.actions import bindings
from tui.formatters import statistics as statistics_format
from tui.formatters.cells import Line
from tui.screens.base import ConsoleScreen, error_lines, stale_lines
from tui.widgets.panel import Panel

DAY_RANGES = (7, 30, 90)
ALL_CAMERAS = "all cameras"


class StatisticsScreen(ConsoleScreen):
    """Four charts of the chosen days, of one camera or all."""

    NAME = "statistics"
    SOURCES = ("statistics", "cameras")
    LOGIN_SOURCE = "statistics"
    BINDINGS: ClassVar[list[Any]] = [
        one
        for one in bindings("statistics", "list")
        if one.action != "search" and not one.action.startswith("sort_")  # this screen has no list
    ]

    def __init__(self) -> None:
        super().__init__()
        self._range = DAY_RANGES[1]
        self._last_day: date | None = None  # None: today
        self._camera: str | None = None
        self._current_query: StatisticsQuery | None = None

    def body(self) -> Iterable[Widget]:
        with Container(id="statistics"):
            for name in ("days", "hours", "types", "cameras"):
                yield Panel(id=name)

    def feed(self) -> None:
        first, last = self._shown_days()
        query = StatisticsQuery(first=first, last=last, camera=self._camera)
        if query != self._current_query:  # another choice, or a new day
            self._current_query = query
            ask = partial(self.console.ask_service, lambda client: client.statistics(query))
            self.console.store.retarget("statistics", ask)
        of_camera = f" · {self._camera}" if self._camera else ""
        title = f"{statistics_format.day_text(first)} to {statistics_format.day_text(last)}, {last.year}{of_camera}"
        self._show(
            "days",
            f"Events per day · {title}",
            lambda found, *size: statistics_format.by_day(found, first, last, *size),
        )
        zone = f" · {statistics.zone}" if (statistics := self.reading("statistics").value) else ""
        self._show(
            "hours",
            f"By hour{zone}",
            lambda statistics, height, width: statistics_format.by_hour(statistics, height, width),
        )
        self._show("types", "By type", lambda statistics, _, width: statistics_format.by_type(statistics, width))
        self._show("cameras", "By camera", lambda statistics, _, width: statistics_format.by_camera(statistics, width))

    def _show(self, name: str, title: str, formatter: Callable[[Any, int, int], list[Line]]) -> None:
        reading, panel = self.reading("statistics"), self.query_one(f"#{name}", Panel)
        panel.border_title = title
        if reading.is_stale:
            panel.show(partial(stale_lines, reading), *reading.state)
        elif reading.value is None and reading.error is not None:
            panel.show(partial(error_lines, reading.error), *reading.state)
        else:
            height = panel.scrollable_content_region.height
            panel.show(partial(formatter, reading.value, height), *reading.state)

    def _shown_days(self) -> tuple[date, date]:
        last = self._last_day or self._today()
        return last - timedelta(days=self._range - 1), last

    def _today(self) -> date:
        """Today in the service's time zone."""
        now, status = self.console.parts.now(), self.reading("cameras").value
        try:
            return datetime.fromtimestamp(now, ZoneInfo(status.zone) if status else None).date()
        except (ZoneInfoNotFoundError, ValueError):
            return datetime.fromtimestamp(now).date()

    def action_range(self) -> None:
        self._range = DAY_RANGES[(DAY_RANGES.index(self._range) + 1) % len(DAY_RANGES)]
        self.update_now()

    def action_earlier(self) -> None:
        self._last_day = self._shown_days()[0] - timedelta(days=1)
        self.update_now()

    def action_later(self) -> None:
        """Show the next days, at most up to today."""
        last = self._shown_days()[1] + timedelta(days=self._range)
        self._last_day = last if last < self._today() else None
        self.update_now()

    def action_camera(self) -> None:
        from tui.screens.pick import Pick

        def picked(camera: str | None) -> None:
            if camera is not None:
                self._camera = None if camera == ALL_CAMERAS else camera
                self.update_now()

        status: ServiceStatus | None = self.reading("cameras").value
        cameras = [camera.id for camera in status.cameras] if status else []
        self.app.push_screen(Pick("Choose a camera", [ALL_CAMERAS, *cameras], self._camera or ALL_CAMERAS), picked)

    def copy_text(self) -> str:
        return "\n\n".join(f"{panel.border_title}\n{panel.text}" for panel in self.query(Panel))
