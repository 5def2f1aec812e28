"""The first steps on the Overview: whether they are shown, and what each one does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import XaivaError
from core.first_steps.facts import Answer, Facts, PresetFacts
from core.first_steps.steps import UP_STEPS, Step, StepState, all_done, first_steps, next_step
from core.service_client import NotLoggedIn
from tui.actions import ACTION_BY_ID, Action
from tui.formatters import first_steps as steps_format
from tui.screens.base import ConsoleScreen
from tui.store import Reading
from tui.widgets.choice_list import ChoiceList, ChoiceRow

if TYPE_CHECKING:
    from core.install_commands import InstallAdvice
    from core.presets.model import Preset

T = TypeVar("T")
OPERATIONS = ("lock", "sync", "build")  # the steps that are operations


def action_of(step: str) -> Action:
    """The action whose key does a step."""
    return ACTION_BY_ID[f"overview.step('{step}')"]


class FirstSteps:
    """The steps of an Overview. They appear by themselves while the site has nothing yet, else when they are called."""

    def __init__(self, screen: ConsoleScreen, step_list: ChoiceList) -> None:
        self._screen = screen
        self._list = step_list
        self._console = screen.console
        self._site = screen.site
        self._steps: list[Step] = []
        self._expected = ""  # the step that needed somebody when the cursor was last moved
        self._hidden = False  # somebody hid them, or all were done, in this console
        self._undecided = self.shown  # there is room for them, and it is not known yet whether they are needed
        self.called = False

    # -- what is shown -------------------------------------------------------------------------------------------------

    @property
    def shown(self) -> bool:
        return self._list.display

    @property
    def _preset(self) -> PresetFacts:
        return self._screen.reading("steps").value or PresetFacts()

    def feed(self) -> None:
        """Show the steps that follow from the newest readings, or hide them when all are done.

        A service that asks for a login first may have cameras, so it makes no steps appear.
        """
        containers = _answer(self._screen.reading("containers"), lambda value: value.containers)
        service = _answer(self._screen.reading("cameras"), lambda value: value)
        preset = _answer(self._screen.reading("steps"), lambda value: value)
        self._steps = first_steps(Facts(str(self._site.root), containers, preset, service))
        done = all_done(self._steps)
        needs_login = isinstance(service.error, NotLoggedIn)
        service_answered = service.value is not None or not (service.error is None or needs_login)
        if self._undecided and (service_answered or needs_login):
            self._undecided = False
            if done or needs_login:
                self._remove()
        by_itself = not self._hidden and (self.shown or (preset.value is not None and service_answered)) and not done
        if self.called or by_itself:
            self._show()
        elif self.shown or (done and preset.value is not None and not self._hidden):
            if self.shown:
                self._screen.notify(f"All first steps are done; {key_of_steps()} shows them again", title="First steps")
            self._put_away()

    def _show(self) -> None:
        choices = self._list
        if not choices.display:
            choices.display = True
            self._screen.add_class("-steps")
        if self._screen.focused is None:
            choices.focus()
        choices.show([ChoiceRow(step.name, steps_format.row(step, self._key_of(step.name))) for step in self._steps])
        expected = next_step(self._steps)
        if expected is not None and expected.name != self._expected:
            self._expected = expected.name
            choices.move_cursor_to(expected.name)
        self.show_hint()

    def _key_of(self, step: str) -> str:
        """The key that does a step; empty where this console may not do it."""
        action = action_of(step)
        return action.keys if self._console.allows(action) else ""

    def show_hint(self) -> None:
        """Say in the frame what Enter does for the row under the cursor."""
        step = self._step(self._list.key)
        if step is not None:
            may_go_up = bool(self._key_of("up"))
            can_go_up = may_go_up and any(one.name in UP_STEPS and one.state is StepState.NEXT for one in self._steps)
            up = f" · {self._key_of('up')} does all up to the launch" if can_go_up else ""
            self._list.border_subtitle = f"{steps_format.enter_text(step)}{up} · Esc hides"

    def call(self) -> None:
        """Show the steps although they were hidden or are done."""
        self.called, self._expected = True, ""
        self._console.store.ask_now("steps")
        self.feed()

    def hide(self) -> None:
        """Hide the steps until they are called."""
        self._put_away()
        self._screen.notify(f"{key_of_steps()} shows the first steps again")

    def _put_away(self) -> None:
        self.called, self._hidden = False, True
        self._remove()
        if not self._console.read_only:
            from core.first_steps.state import hide_steps

            self._screen.background(partial(hide_steps, self._site), lambda _: None)

    def _remove(self) -> None:
        self._list.display = False
        self._screen.set_focus(None)
        self._screen.remove_class("-steps")

    # -- what a step does ----------------------------------------------------------------------------------------------

    def _step(self, name: str) -> Step | None:
        return next((step for step in self._steps if step.name == name), None)

    async def open(self, name: str) -> None:
        """Enter on a step: open what runs or has failed, say what is unknown, else do it."""
        step = self._step(name)
        if step is None:
            return
        if step.operation:
            await self._console.open_row("operations", str(step.operation))
        elif step.state is StepState.UNKNOWN and name != "engine":
            self._console.show_error(self._error(step))
        elif step.state is StepState.FAILED:
            await self._open_failed(step)
        else:
            await self.do(name)

    async def _open_failed(self, step: Step) -> None:
        """Show the container that ended, or the preset that will not work."""
        name = self._preset.name
        if step.name == "launch":
            containers = self._screen.reading("containers").value
            ended = [one for one in containers.containers if one.preset == name] if containers else []
            await self._console.open_row("containers", ended[0].name if ended else "")
            return
        self._console.preset = name
        await self._console.switch_mode("presets")

    async def do(self, name: str) -> None:
        """Do a step, also again, or `up`: each with the dialog that its own screen opens."""
        step, preset = self._step(name) or self._running(), self._preset.name
        if not self.shown:
            self.call()
        elif name == "engine":
            self._show_engine()
        elif name == "preset":
            await self._choose_preset()
        elif self._console.read_only:
            self._screen.notify("this console is read-only")
        elif name == "camera":
            await self._console.switch_mode("cameras")
            await self._screen.app.screen.run_action("screen.add")
        elif not preset:
            self._screen.notify("choose a preset first")
        elif step is not None and step.state is StepState.RUNNING:
            await self._console.open_row("operations", str(step.operation))
        elif name == "up":
            self._screen.start_operation("up", preset, {"create_folders": True})
        elif name in OPERATIONS:
            self._screen.start_operation(name, preset)
        else:
            self._launch(preset)

    def _running(self) -> Step | None:
        return next((step for step in self._steps if step.state is StepState.RUNNING), None)

    def _show_engine(self) -> None:
        step = self._steps[0]
        if step.state is StepState.DONE:
            self._screen.notify(step.what)
            return
        error = self._screen.reading("containers").error or XaivaError("The Docker engine", step.what)

        def show(advice: InstallAdvice | None) -> None:
            from tui.screens.text_dialog import TextDialog

            copied = "\n".join(advice.commands) if advice else ""
            text = steps_format.engine_text(error, advice)
            self._screen.app.push_screen(TextDialog("A Docker engine", text, copied=copied))

        from core.first_steps.survey import install_advice

        self._console.load_then_open(partial(install_advice, error), show)

    async def _choose_preset(self) -> None:
        """Choose among the site's presets; without any, make one."""
        views = self._screen.reading("presets").value or []
        names = [view.entry.name for view in views if view.entry.preset is not None]
        if self._console.read_only:
            self._screen.notify("this console is read-only")
        elif names and self._preset.name:
            from tui.screens.pick import Pick

            self._screen.app.push_screen(Pick("Which preset", names, self._preset.name), self._chosen)
        else:
            await self._console.switch_mode("presets")
            await self._screen.app.screen.run_action("screen.suggest" if self._preset.gpu else "screen.new")

    def _chosen(self, name: str | None) -> None:
        from core.first_steps.choice import choose_preset

        if name:
            self._console.preset = name
            self._screen.background(
                partial(choose_preset, self._site, name), lambda _: self._console.store.ask_now("steps")
            )

    def _launch(self, name: str) -> None:
        from core.presets.store import load_named

        def ask(preset: Preset) -> None:
            from tui.screens.launch import Launch

            self._screen.app.push_screen(Launch(self._site, name, preset))

        self._console.load_then_open(partial(load_named, self._site, name), ask)

    def _error(self, step: Step) -> XaivaError:
        """The error behind a step that is unknown, as its source raised it."""
        readings = {"camera": self._screen.reading("cameras").error}
        preset = self._preset
        own = {"lock": preset.lock.error, "sync": preset.lock.error, "build": preset.image.error}
        error = readings.get(step.name) or own.get(step.name) or self._screen.reading("steps").error
        return error or XaivaError(step.title, step.what, step.remedy)


def key_of_steps() -> str:
    """The key that shows the steps."""
    return ACTION_BY_ID["overview.steps"].keys


def _answer(reading: Reading[Any], value: Callable[[Any], T]) -> Answer[T]:
    """A reading as an answer: a stale value is unknown."""
    if reading.is_stale:
        return Answer(error=reading.problem)
    return Answer(error=reading.error) if reading.value is None else Answer(value(reading.value))
