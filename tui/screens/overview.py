"""Overview: everything that matters now, on one screen; above it the first steps, while the site has nothing yet."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.containers import Container
from textual.widget import Widget

from core.errors import InputError
from core.first_steps.state import read_state
from tui.actions import ACTION_BY_ID, bindings
from tui.formatters.cells import Column
from tui.screens.base import ConsoleScreen, error_lines
from tui.store import Reading
from tui.widgets.choice_list import ChoiceList
from tui.widgets.panel import Panel, empty_content

if TYPE_CHECKING:
    from core.first_steps.facts import PresetFacts
    from core.first_steps.preset_survey import PresetSurvey
    from tui.screens.first_steps import FirstSteps

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
STEP_COLUMNS = (Column("step", 8), Column("state", 9), Column("", minimum=20), Column("key", 3))


class OverviewScreen(ConsoleScreen):
    """Six panels; a click on one opens its screen."""

    NAME = "overview"
    ALERT_SOURCES = ("gpus", "host", "containers", "cameras", "operations", "presets")
    INSPECTION_SOURCES = ("products", "recent_jobs")
    SOURCES = (*ALERT_SOURCES, *INSPECTION_SOURCES, "steps")
    BINDINGS: ClassVar[list[Any]] = bindings("overview")
    _survey: PresetSurvey | None = None
    _steps: FirstSteps | None = None

    def __init__(self) -> None:
        super().__init__()
        self._step_list = ChoiceList(STEP_COLUMNS, id="steps")
        self._step_list.border_title = "First steps"
        self._step_list.display = False

    def body(self) -> Iterable[Widget]:
        self._step_list.display = self._may_need_steps()
        self.set_class(self._step_list.display, "-steps")
        yield self._step_list
        with Container(id="overview"):
            for name, (title, _) in PANELS.items():
                yield Panel(title, id=name)

    def on_mount(self) -> None:
        """Ask how far the site's preset has come, too."""
        self.console.store.retarget("steps", self._look_at_preset)
        super().on_mount()

    def _may_need_steps(self) -> bool:
        """Whether room is kept for the first steps until it is known whether they are needed."""
        try:
            return not (self.site.settings.demo or read_state(self.site).hidden)
        except InputError:
            return False  # the source of the steps reports it

    def _look_at_preset(self) -> PresetFacts | None:
        """The preset of the first steps, None while they are hidden. Called in the source's thread."""
        from core.first_steps.preset_survey import PresetSurvey

        if read_state(self.site).hidden and not (self._steps is not None and self._steps.called):
            return None
        self._survey = self._survey or PresetSurvey(self.site)
        return self._survey.look()

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
        readings = {name: self.reading(name) for name in self.ALERT_SOURCES}
        has_values = any(reading.value is not None for reading in readings.values())
        if self.reading("steps").value is not None or (self._steps_shown and has_values):
            self.first_steps.feed()
        if has_values:
            from tui.formatters import overview

            values = [None if reading.is_stale else reading.value for reading in readings.values()]
            gpus, host, running, cameras, operations, presets = values
            expected = readings["containers"] if self.console.site.settings.demo else None  # a demo needs no engine
            watched = [reading for reading in readings.values() if reading is not expected or reading.is_stale]
            inspected = [self.reading(name) for name in self.INSPECTION_SOURCES]
            if not (
                readings["cameras"].is_stale or readings["cameras"].error
            ):  # else one source speaks for the service
                watched += inspected
            products, jobs = (None if reading.is_stale else reading.value for reading in inspected)
            failed_sources = overview.source_failures([*watched, self.reading("steps"), self.reading("settings")])
            formatter = partial(
                overview.alert_lines,
                gpus,
                host,
                running,
                cameras,
                operations,
                presets,
                products=products,
                jobs=jobs,
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

    # -- first steps ---------------------------------------------------------------------------------------------------

    @property
    def first_steps(self) -> FirstSteps:
        """The first steps; their code is imported when they are first shown, so that the first frame comes sooner."""
        if self._steps is None:
            from tui.screens.first_steps import FirstSteps

            self._steps = FirstSteps(self, self._step_list)
        return self._steps

    @property
    def _steps_shown(self) -> bool:
        return self._step_list.display

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The keys of the steps work while the steps are shown; the palette calls them."""
        if action == "step":
            step = ACTION_BY_ID[f"overview.step('{parameters[0]}')"]
            return (self._steps_shown or self.console.started_by_name) and self.console.allows(step)
        return super().check_action(action, parameters)

    @on(ChoiceList.Highlighted, "#steps")
    def _step_highlighted(self) -> None:
        self.first_steps.show_hint()

    @on(ChoiceList.Chosen, "#steps")
    async def _step_chosen(self, event: ChoiceList.Chosen) -> None:
        await self.first_steps.open(event.key)

    def action_steps(self) -> None:
        if self._steps_shown:
            self.first_steps.hide()
        else:
            self.first_steps.call()

    async def action_back(self) -> None:
        """Hide the steps; a panel in full screen is left first."""
        if self._steps_shown and self.maximized is None:
            self.first_steps.hide()
        else:
            await super().action_back()

    async def action_step(self, name: str) -> None:
        await self.first_steps.do(name)

    # -- the panels ----------------------------------------------------------------------------------------------------

    async def on_click(self, event: events.Click) -> None:
        target = PANELS.get(event.widget.id or "", ("", ""))[1] if event.widget else ""
        if target:
            await self.console.switch_mode(target)

    def copy_text(self) -> str:
        return "\n\n".join(f"{panel.border_title}\n{panel.text}" for panel in self.query(Panel))
