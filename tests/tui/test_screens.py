"""Every screen with no data, with errors, and with real data."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen
from textual.widgets import Button, Checkbox, Input

from core.artifacts.lock_store import write_lock
from core.operations.model import Operation
from core.site import Site
from core.site_operations import site_ledger
from tests.operations.sample_kinds import KINDS
from tests.tui import sample
from tests.tui.support import shows, text, until
from tui.actions import ACTION_BY_ID, ACTIONS
from tui.app import XaivaApp
from tui.navigation import SCREENS
from tui.screens import editor
from tui.screens.confirm import Confirm
from tui.screens.launch import Launch
from tui.screens.start_operation import StartDialog
from tui.screens.text_dialog import TextDialog
from tui.screens.up import Up
from tui.theme import THEME_NAMES
from tui.widgets.choice_list import ChoiceList

SIZES = [(160, 45), (80, 24)]


def choices(app: App[Any]) -> ChoiceList:
    return app.screen.query_one("#choices", ChoiceList)


async def opened(pilot: Pilot[int], name: str) -> None:
    """Go to a screen by its keys."""
    await pilot.press(*SCREENS[name].keys)
    await until(pilot, lambda: pilot.app.current_mode == name)


async def on_preset(pilot: Pilot[int], name: str) -> None:
    """Open the Presets screen and select a preset."""
    await pilot.press("2")
    await shows(pilot, name)
    choices(pilot.app).move_cursor_to(name)


@asynccontextmanager
async def console(
    site: Site, preset: str = "", size: tuple[int, int] = (160, 45), read_only: bool = False
) -> AsyncIterator[tuple[XaivaApp, Pilot[int]]]:
    """A console, with a preset selected on its screen if one is named."""
    app = XaivaApp(site, read_only)
    async with app.run_test(size=size) as pilot:
        if preset:
            await on_preset(pilot, preset)
        yield app, pilot


async def over(pilot: Pilot[int], dialog: type[Screen[Any]] | None) -> None:
    """Wait until a dialog of that kind is open, or none is."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, dialog) if dialog else not isinstance(app.screen, ModalScreen))


@pytest.fixture
def two_operations(preset_site: Site) -> Iterator[tuple[Operation, Operation]]:
    """A finished operation and a running one."""
    ledger = site_ledger(preset_site, KINDS)
    done = ledger.start("quick", "cpu-debian12")
    ledger.wait(done.id, 20)
    running = ledger.start("wait", "cpu-debian12")
    yield done, running
    ledger.cancel(running.id)
    ledger.wait(running.id, 10)


@pytest.mark.parametrize("size", SIZES)
async def test_every_screen_opens_with_nothing_there(bare_site: Site, size: tuple[int, int]) -> None:
    async with console(bare_site, size=size) as (_, pilot):
        for name, entry in SCREENS.items():
            await opened(pilot, name)
            await shows(pilot, entry.title)
        await pilot.press("5")
        await shows(pilot, "the socket does not exist")
        await pilot.press("6")
        await shows(pilot, "→")


@pytest.mark.parametrize("name", SCREENS)
async def test_every_key_of_every_screen_works_with_nothing_there(bare_site: Site, name: str) -> None:
    async with console(bare_site, size=(100, 30)) as (app, pilot):
        await opened(pilot, name)
        for action in [one for one in ACTIONS if one.screen in (name, "list")]:
            if name == "overview" and action.screen == "list":
                continue
            await pilot.press(action.keys.split(",")[0])
            await pilot.pause()
            while len(app.screen_stack) > 1 or isinstance(app.focused, Input):
                await pilot.press("escape")
                await pilot.pause()
            if action.id.startswith("overview.step("):  # a first step may lead to its own screen
                await opened(pilot, name)
        assert app.current_mode == name


async def test_a_broken_preset_stands_beside_the_good_ones_and_opens_as_text(preset_site: Site) -> None:
    async with console(preset_site, "broken") as (_, pilot):
        await shows(pilot, "cpu-debian12")
        assert "✗ broken" in text(pilot)
        await shows(pilot, "python_version")
        await pilot.press("e")
        await shows(pilot, "✗")


async def test_filter_keeps_matching_rows_and_escape_brings_all_back(preset_site: Site) -> None:
    async with console(preset_site, "cpu-debian12") as (app, pilot):
        await pilot.press("slash", *"cuda")
        await until(pilot, lambda: choices(app).keys == ["ubuntu22.04-cuda12.6"])
        await pilot.press("enter")
        assert app.focused is choices(app)
        await pilot.press("slash")
        await pilot.press("escape")
        await until(pilot, lambda: len(choices(app).keys) == 3)
        await pilot.press("slash", *"cuda", "enter")
        await until(pilot, lambda: "cpu-debian12" not in text(pilot))
        await pilot.press("escape")
        await shows(pilot, "cpu-debian12")


async def test_delete_asks_and_enter_alone_deletes_nothing(preset_site: Site) -> None:
    path = preset_site.presets / "cpu-debian12.json"
    async with console(preset_site, "cpu-debian12") as (app, pilot):
        await pilot.press("X")
        await over(pilot, Confirm)
        assert app.focused is app.screen.query_one("#cancel", Button)
        await pilot.press("enter")
        await over(pilot, None)
        assert path.exists()
        await pilot.press("X")
        await over(pilot, Confirm)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: not path.exists())


async def test_a_visitor_sees_no_key_that_changes_anything(preset_site: Site) -> None:
    async with console(preset_site, read_only=True) as (app, pilot):
        for name in SCREENS:
            await opened(pilot, name)
            live = {active.binding.id for active in app.screen.active_bindings.values() if active.enabled}
            assert not [one for one in live if one in ACTION_BY_ID and ACTION_BY_ID[one].changes]
        await pilot.press("2")
        await shows(pilot, "cpu-debian12")
        before = sorted(preset_site.presets.iterdir())
        await pilot.press("X", "enter", "n", "e", "s")
        assert len(app.screen_stack) == 1
        assert sorted(preset_site.presets.iterdir()) == before
        assert site_ledger(preset_site).list() == []


async def test_number_keys_go_into_a_field_and_not_to_another_screen(bare_site: Site) -> None:
    async with console(bare_site, size=(100, 30)) as (app, pilot):
        await pilot.press("2", "n")
        await until(pilot, lambda: isinstance(app.focused, Input))
        await pilot.press(*"torch2")
        assert app.focused is not None
        assert app.screen.query_one("#name", Input).value == "torch2"
        assert app.current_mode == "presets"


async def test_a_real_operation_is_followed_cancelled_and_told_busy(
    preset_site: Site, two_operations: tuple[Operation, Operation]
) -> None:
    _, running = two_operations
    async with console(preset_site) as (_, pilot):
        await pilot.press("7")
        await shows(pilot, "wait cpu-debian12")
        await shows(pilot, "Waiting")  # its stage
        await shows(pilot, "waiting as")  # its log
        await on_preset(pilot, "cpu-debian12")
        await pilot.press("s")
        await over(pilot, StartDialog)
        await pilot.press("enter")
        await over(pilot, TextDialog)
        await shows(pilot, f"operation {running.id}")
        await pilot.press("escape", "7")
        await shows(pilot, "▶ running")
        await pilot.press("c")
        await over(pilot, Confirm)
        await pilot.press("tab", "enter")
        await shows(pilot, "■ cancelled")


async def test_an_operation_keeps_its_own_stages_when_another_screen_looked_at_a_newer_one(
    preset_site: Site, two_operations: tuple[Operation, Operation]
) -> None:
    done, _ = two_operations
    async with console(preset_site) as (app, pilot):
        await pilot.press("7")
        await shows(pilot, "wait cpu-debian12")
        choices(app).move_cursor_to(str(done.id))
        await shows(pilot, "✓ First")
        await pilot.press("3")
        await shows(pilot, "cpu-debian12")
        choices(app).move_cursor_to("cpu-debian12")
        await shows(pilot, "▶ Waiting")
        await pilot.press("7")
        await until(pilot, lambda: "✓ First" in text(pilot) and "▶ Waiting" not in text(pilot))
        await pilot.press("3")
        await shows(pilot, "▶ Waiting")


async def test_enter_in_the_launch_dialog_starts_and_replaces_nothing_unasked(preset_site: Site) -> None:
    async with console(preset_site, "cpu-debian12") as (app, pilot):
        await pilot.press("L")
        await over(pilot, Launch)
        assert app.focused is app.screen.query_one("#submit")
        assert not app.screen.query_one("#replace", Checkbox).value


async def test_up_shows_its_plan_and_starts_one_operation(preset_site: Site) -> None:
    """Without an engine the plan says so, and the operation starts no step."""
    async with console(preset_site, "cpu-debian12") as (app, pilot):
        await pilot.press("U")
        await over(pilot, Up)
        assert app.focused is app.screen.query_one("#submit")
        assert not app.screen.query_one("#replace", Checkbox).value
        await shows(pilot, "look up every file")
        await shows(pilot, "✗ Docker engine")
        await pilot.press("enter", "7")
        await shows(pilot, "up cpu-debian12")
        await shows(pilot, "✗ failed")
        await shows(pilot, "Nothing was started")


async def test_the_editor_checks_as_one_types_and_saves_with_the_order_of_keys(preset_site: Site) -> None:
    path = preset_site.presets / "cpu-debian12.json"
    before = path.read_text()
    async with console(preset_site, "cpu-debian12") as (app, pilot):
        await pilot.press("e")
        await shows(pilot, "no changes")
        python = app.screen.query_one("#f-python", Input)
        good = python.value
        python.value = "three"
        await shows(pilot, "python_version")
        python.value = good
        await shows(pilot, "no changes")
        app.screen.query_one("#f-description", Input).value = "Changed here"
        await shows(pilot, "+")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Changed here" in path.read_text())
        old, new = json.loads(before), json.loads(path.read_text())
        assert list(new) == list(old)
        assert {key for key in old if old[key] != new[key]} == {"metadata"}
        untouched = before[before.index('"base_image"') :]
        assert path.read_text().endswith(untouched)
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)


async def test_leaving_an_unsaved_editor_and_ending_the_console_ask(preset_site: Site) -> None:
    async with console(preset_site, "cpu-debian12", (80, 24)) as (app, pilot):
        assert " q Quit" in text(pilot)
        await pilot.press("e")
        await shows(pilot, "no changes")
        await shows(pilot, "^q Quit")  # q goes into the field
        description = app.screen.query_one("#f-description", Input)
        description.value = "Not saved"
        await pilot.press("escape")
        await over(pilot, Confirm)
        await pilot.press("escape")
        await over(pilot, None)
        assert description.value == "Not saved"
        await pilot.press("ctrl+q")
        await over(pilot, Confirm)
        await pilot.press("enter")
        await over(pilot, None)
        assert app.is_running
        await app.switch_mode("operations")
        await pilot.press("q")
        await over(pilot, Confirm)
        await pilot.press("tab", "enter")
        await until(pilot, lambda: not app.is_running or app._exit)


async def test_artifacts_goes_on_with_the_preset_chosen_on_presets_and_back(preset_site: Site) -> None:
    async with console(preset_site, "ubuntu22.04-cuda12.6") as (app, pilot):
        await pilot.press("3")
        await until(pilot, lambda: choices(app).key == "ubuntu22.04-cuda12.6")
        choices(app).move_cursor_to("cpu-debian12")
        await pilot.pause()
        await pilot.press("2")
        await until(pilot, lambda: choices(app).key == "cpu-debian12")


async def test_every_theme_draws_every_screen(preset_site: Site) -> None:
    async with console(preset_site, size=(100, 30)) as (app, pilot):
        for name, entry in SCREENS.items():
            await opened(pilot, name)
            drawn = set()
            for _ in THEME_NAMES:
                await pilot.press("f2")
                await shows(pilot, entry.title)
                drawn.add(app.theme)
            assert drawn == set(THEME_NAMES)


async def test_data_that_is_there_before_the_screen_is_shown_when_it_is(preset_site: Site) -> None:
    async with console(preset_site) as (app, pilot):
        app.store.watch(["presets", "operations"])
        await until(pilot, lambda: app.store.reading("presets").value)
        for key in "234567":
            await pilot.press(key)
            app.tick()
        await pilot.press("2")
        await shows(pilot, "cpu-debian12")


async def test_a_second_source_of_trouble_does_not_end_the_console(
    bare_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> object:
        raise ValueError("not foreseen")

    monkeypatch.setattr("tui.sources.Sources.operations", broken)
    async with console(bare_site, size=(120, 40)) as (app, pilot):
        await pilot.press("7")
        await shows(pilot, "an unexpected error occurred")
        await pilot.press("1")
        await until(pilot, lambda: app.current_mode == "overview")


async def test_a_build_of_no_build_says_where_the_first_one_starts(bare_site: Site) -> None:
    async with XaivaApp(bare_site).run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("4")
        await shows(pilot, "no builds yet")
        await pilot.press("b")
        await shows(pilot, "no build selected")


async def test_a_preset_that_is_locked_while_one_looks_shows_its_own_plan(preset_site: Site) -> None:
    write_lock(preset_site, "cpu-debian12", sample.lock("cpu-debian12"))
    async with console(preset_site) as (app, pilot):
        await pilot.press("3")
        await shows(pilot, "cpu-debian12")
        choices(app).move_cursor_to("cpu-debian12")
        await shows(pilot, "0 of 5 files")
        choices(app).move_cursor_to("ubuntu22.04-cuda12.6")
        await shows(pilot, "not locked yet")
        other = sample.lock("ubuntu22.04-cuda12.6")
        layer = other.layers[0].model_copy(update={"wheels": other.layers[0].wheels[:3]})
        other = other.model_copy(update={"files": other.files[:3], "layers": [layer]})
        write_lock(preset_site, "ubuntu22.04-cuda12.6", other)
        app.store.ask_now("presets")
        await shows(pilot, "0 of 3 files")


async def test_what_is_typed_while_the_editor_saves_stays(preset_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    really_save = editor.save

    def slow(*given: Any, **more: Any) -> None:
        go_on.wait(20)
        really_save(*given, **more)

    monkeypatch.setattr(editor, "save", slow)
    path = preset_site.presets / "cpu-debian12.json"
    async with console(preset_site, "cpu-debian12") as (app, pilot):
        await pilot.press("e")
        await shows(pilot, "no changes")
        description = app.screen.query_one("#f-description", Input)
        description.value = "First"
        await pilot.press("ctrl+s")
        description.value = "First and more"
        go_on.set()
        await until(pilot, lambda: '"First"' in path.read_text())
        await shows(pilot, "saved")
        assert description.value == "First and more"
        await shows(pilot, "not saved")
