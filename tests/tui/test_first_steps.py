"""The first steps on the Overview: when they are shown, and what each one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from core.api_schema import Role
from core.errors import XaivaError
from core.first_steps.facts import Answer, ImageFacts, LockFacts, PresetFacts
from core.first_steps.state import hide_steps, read_state
from core.operations.model import Operation, OperationState
from core.service_client import LoginIdentity, NoService, NotLoggedIn
from core.site import Site
from core.site_operations import site_ledger
from tests.tui import sample
from tests.tui.sample_site import operation
from tests.tui.support import settled, shows, text, until
from tui.app import XaivaApp
from tui.screens.camera_form import CameraForm
from tui.screens.launch import Launch
from tui.screens.pick import Pick
from tui.screens.start_operation import StartDialog
from tui.screens.text_dialog import TextDialog
from tui.sources import Containers, not_targeted_yet
from tui.widgets.choice_list import ChoiceList

NAME = "cpu-debian12"
NO_ENGINE = XaivaError("Docker engine", "the socket does not exist", "start it")


class World:
    """What the sources of a console answer; a test changes it."""

    def __init__(self) -> None:
        self.containers: Any = Containers([], {})
        self.cameras: Any = NoService("Inference service", "nothing answers there")
        self.operations: list[Operation] = []
        self.login = LoginIdentity()
        self.steps: Any = PresetFacts(
            NAME, "you chose it", lock=Answer(LockFacts()), image=Answer(ImageFacts()), operations=Answer([])
        )

    def change(self, **facts: Any) -> None:
        """Change what is known of the preset."""
        self.steps = replace(self.steps, **facts)

    def parts(self) -> Any:
        """Parts of a console in this world."""
        world = self

        class Sources(sample.SampleSources):
            def fetchers(self) -> dict[str, tuple[Callable[[], Any], float]]:
                names = ("containers", "cameras", "operations", "steps", "login")
                return {
                    **dict.fromkeys(super().fetchers(), (not_targeted_yet, 3600.0)),
                    "presets": super().fetchers()["presets"],
                    **{name: (lambda name=name: world.answer(name), 0.05) for name in names},
                }

        return replace(sample.PARTS, sources=Sources, store=sample.SampleStore, tick=0.05)

    def answer(self, name: str) -> Any:
        value = getattr(self, name)
        if isinstance(value, XaivaError):
            raise value
        return value


@pytest.fixture
def world() -> World:
    return World()


def steps(pilot: Pilot[int]) -> ChoiceList:
    return pilot.app.screen.query_one("#steps", ChoiceList)


async def over(pilot: Pilot[int], dialog: type[Any]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, dialog))
    await pilot.press("escape")
    await until(pilot, lambda: not isinstance(pilot.app.screen, dialog))


async def test_enter_does_one_step_after_the_other(world: World, preset_site: Site) -> None:
    app = XaivaApp(preset_site, parts=world.parts())
    world.containers = NO_ENGINE
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await shows(pilot, "the socket does not exist")
        await until(pilot, lambda: steps(pilot).has_focus and steps(pilot).key == "engine")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TextDialog))
        await pilot.press("escape")
        world.containers = Containers([], {})
        for name, dialog, done in (
            ("lock", StartDialog, {"lock": Answer(LockFacts("aa", files=2, missing_files=2, missing_bytes=9))}),
            ("sync", StartDialog, {"lock": Answer(LockFacts("aa", files=2))}),
            ("build", StartDialog, {"image": Answer(ImageFacts(True, "aa"))}),
            ("launch", Launch, {}),
        ):
            await until(pilot, lambda name=name: steps(pilot).key == name)
            await pilot.press("enter")
            await over(pilot, dialog)
            world.change(**done)
        container = sample.containers().containers[0].model_copy(update={"site": str(preset_site.root)})
        world.containers = Containers([container], {})
        world.cameras = sample.cameras().model_copy(update={"cameras": []})
        await until(pilot, lambda: steps(pilot).key == "camera")
        await pilot.press("enter")
        await over(pilot, CameraForm)
        await pilot.press("1")
        world.cameras = sample.cameras()
        await shows(pilot, "shows them again")
        await until(pilot, lambda: not steps(pilot).display)
        await until(pilot, lambda: read_state(preset_site).hidden)
        await pilot.press("f")
        await shows(pilot, "the service has 8 cameras")


async def test_a_running_step_shows_its_progress_and_opens_its_operation(world: World, preset_site: Site) -> None:
    running = operation(7, "lock", NAME, OperationState.RUNNING, 5)
    world.operations = [running]
    world.change(operations=Answer([running]), progress="Resolve 40 %")
    app = XaivaApp(preset_site, parts=world.parts())
    async with app.run_test(size=(160, 45)) as pilot:
        await shows(pilot, "operation 7: Resolve 40 %")
        world.change(progress="Resolve 55 %")
        await shows(pilot, "operation 7: Resolve 55 %")
        await pilot.press("l")
        await until(pilot, lambda: app.current_mode == "operations")


async def test_what_is_unknown_says_why(world: World, preset_site: Site) -> None:
    world.change(lock=Answer(error=XaivaError("lock.json", "it is not JSON", "restore the file")))
    app = XaivaApp(preset_site, parts=world.parts())
    async with app.run_test(size=(160, 45)) as pilot:
        await shows(pilot, "? unknown  lock.json: it is not JSON")
        await pilot.press("enter")
        await shows(pilot, "→ restore the file")


async def test_all_is_done_at_once_and_another_preset_is_chosen_and_kept(world: World, preset_site: Site) -> None:
    app = XaivaApp(preset_site, parts=world.parts())
    async with app.run_test(size=(160, 45)) as pilot:
        await shows(pilot, "U does all up to the launch")
        await pilot.press("U")
        await over(pilot, StartDialog)
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, Pick))
        await pilot.press(*"cuda12.6", "enter")
        await until(pilot, lambda: read_state(preset_site).preset == "ubuntu22.04-cuda12.6")


async def test_they_are_hidden_until_they_are_called(world: World, preset_site: Site) -> None:
    app = XaivaApp(preset_site, parts=world.parts())
    async with app.run_test(size=(160, 45)) as pilot:
        await shows(pilot, "First steps")
        await pilot.press("escape")
        await until(pilot, lambda: not steps(pilot).display)
        await until(pilot, lambda: read_state(preset_site).hidden)
        await pilot.press("l")  # does nothing now
        await pilot.pause()
        assert not isinstance(app.screen, StartDialog)
        await pilot.press("f")
        await until(pilot, lambda: steps(pilot).display)
        await pilot.press("f")
        await until(pilot, lambda: not steps(pilot).display)


async def test_the_columns_fit_after_the_padding_has_changed(world: World, preset_site: Site) -> None:
    app = XaivaApp(preset_site, parts=world.parts())
    async with app.run_test(size=(160, 45)) as pilot:
        await shows(pilot, "no lock yet")
        steps(pilot).styles.padding = (0, 5)
        await until(pilot, lambda: steps(pilot).render_line(0).text.rstrip().endswith("  key"))


async def test_a_service_with_cameras_needs_no_steps(world: World, preset_site: Site) -> None:
    world.containers, world.cameras = NO_ENGINE, sample.cameras()
    app = XaivaApp(preset_site, parts=world.parts())
    async with app.run_test(size=(160, 45), notifications=True) as pilot:
        await until(pilot, lambda: read_state(preset_site).hidden)
        assert "First steps" not in text(pilot)
        assert "All first steps are done" not in text(pilot)


async def test_their_room_is_kept_until_it_is_known_whether_they_are_needed(world: World, preset_site: Site) -> None:
    world.steps, world.cameras = None, None
    app = XaivaApp(preset_site, parts=world.parts())
    async with app.run_test(size=(160, 45)) as pilot:
        await shows(pilot, "Preset    ? unknown  no answer yet")
        world.cameras = sample.cameras()
        await until(pilot, lambda: not steps(pilot).display)


async def test_a_service_that_asks_for_a_login_makes_no_steps_appear(world: World, preset_site: Site) -> None:
    world.cameras = NotLoggedIn("Inference service", "a login is needed")
    app = XaivaApp(preset_site, parts=world.parts())
    async with app.run_test(size=(160, 45)) as pilot:
        await shows(pilot, "a login is needed")
        await until(pilot, lambda: app.store.reading("steps").value is not None)
        app.tick()
        await pilot.pause()
        assert "First steps" not in text(pilot)


async def test_a_read_only_console_starts_nothing_and_writes_nothing(world: World, preset_site: Site) -> None:
    app = XaivaApp(preset_site, True, parts=world.parts())
    async with app.run_test(size=(160, 45)) as pilot:
        await shows(pilot, "First steps")
        await settled(pilot)
        (engine,) = (line for line in text(pilot).splitlines() if line.startswith("│") and " Engine  " in line)
        (lock,) = (line for line in text(pilot).splitlines() if line.startswith("│") and " Lock  " in line)
        assert (engine.rstrip(" │").endswith(" e"), lock.rstrip(" │").endswith(" l")) == (True, False)
        await pilot.press("l", "enter", "p", "escape")
        await until(pilot, lambda: not steps(pilot).display)
        assert not isinstance(app.screen, (StartDialog, Pick))
    assert not (preset_site.state / "first-steps.json").exists()


async def test_a_viewer_is_offered_no_step_that_the_service_refuses(world: World, preset_site: Site) -> None:
    world.login = LoginIdentity("vera", "", False, Role.VIEWER)
    app = XaivaApp(preset_site, parts=world.parts())
    async with app.run_test(size=(160, 45)) as pilot:
        await shows(pilot, "First steps")
        await settled(pilot)
        (camera,) = (line for line in text(pilot).splitlines() if line.startswith("│") and " Camera  " in line)
        (lock,) = (line for line in text(pilot).splitlines() if line.startswith("│") and " Lock  " in line)
        assert (camera.rstrip(" │").endswith(" a"), lock.rstrip(" │").endswith(" l")) == (False, True)
        assert "a" not in app.screen.active_bindings


async def test_hidden_once_they_stay_hidden_in_the_next_console(bare_site: Site) -> None:
    hide_steps(bare_site)
    app = XaivaApp(bare_site)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.store.reading("steps").age is not None)
        await until(pilot, lambda: app.store.reading("cameras").error is not None)
        assert not steps(pilot).display
        await pilot.press("f")
        await shows(pilot, "this site has no preset yet")


async def test_a_site_without_presets_is_offered_a_new_one(bare_site: Site) -> None:
    app = XaivaApp(bare_site)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "this site has no preset yet")
        await pilot.press("p")
        await shows(pilot, "Requirements file")
    assert site_ledger(bare_site).list() == []
