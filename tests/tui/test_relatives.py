"""From a thing to its relatives with one key, and back."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from core.operations.model import OperationState
from core.service_client import ServiceAddress
from core.site import Site
from tests.tui import sample, sample_inspection
from tests.tui.bursts import burst, handled
from tests.tui.sample_site import operation
from tests.tui.support import shows, until
from tests.tui.test_navigation import on_screen, sample_console
from tui.app import XaivaApp
from tui.navigation import SCREENS
from tui.relatives import RELATIVES, NoRelative, Relative
from tui.screens.letter_menu import LetterMenu
from tui.sources import SOURCE_TITLES
from tui.widgets.choice_list import ChoiceList

DIGEST = sample.builds()[1].manifest_digest


def choices(pilot: Pilot[int]) -> ChoiceList:
    return pilot.app.screen_stack[0].query_one("#choices", ChoiceList)


async def on_row(pilot: Pilot[int], screen: str, key: str) -> None:
    """Wait until the cursor of that screen is on that row."""
    await on_screen(pilot, screen)
    await until(pilot, lambda: choices(pilot).key == key)


def relative(screen: str, letter: str) -> Relative:
    return next(one for one in RELATIVES[screen] if one.letter == letter)


def test_the_table_of_relatives() -> None:
    for screen, relatives in RELATIVES.items():
        letters = [one.letter for one in relatives]
        assert len(set(letters)) == len(letters)
        assert {screen, *(one.screen for one in relatives)} <= set(SCREENS)
        assert {one.source for one in relatives} <= {*SOURCE_TITLES, ""}


async def test_a_container_leads_to_its_preset_its_build_its_image_and_back(bare_site: Site) -> None:
    async with sample_console(bare_site) as (_, pilot):
        await pilot.press("5")
        await on_row(pilot, "containers", "xaiva-cpu-debian12")
        await pilot.press("o")
        await on_row(pilot, "presets", "cpu-debian12")
        await pilot.press("o")
        await on_row(pilot, "builds", "20260131T134000Z-1f3a2b")
        await pilot.press("o")
        await on_row(pilot, "engine", "image:sha256:1")
        await pilot.press("backspace", "backspace", "O")
        await shows(pilot, "a letter chooses · Esc closes")  # whole, though the letters need less
        await pilot.press("t")
        await on_row(pilot, "containers", "xaiva-cpu-debian12")
        await pilot.press("backspace", "O", "a")
        await on_row(pilot, "artifacts", "cpu-debian12")
        await pilot.press("O")  # the only relative is opened at once
        await on_row(pilot, "presets", "cpu-debian12")


async def test_a_camera_leads_to_its_events_and_an_event_to_its_camera(bare_site: Site) -> None:
    async with sample_console(bare_site) as (app, pilot):
        app.service_address = ServiceAddress("http://127.0.0.1:8600", container="xaiva-dubbing-cuda13.0")
        await pilot.press("6")
        await on_row(pilot, "cameras", "gate-1")
        await pilot.press("O", "t")
        await on_row(pilot, "containers", "xaiva-dubbing-cuda13.0")
        await pilot.press("O", "c")
        await on_screen(pilot, "cameras")
        await pilot.press("o")
        await on_screen(pilot, "events")
        await shows(pilot, "camera gate-1")
        listed = {event.id: event.camera for event in sample.events().events}
        await until(pilot, lambda: choices(pilot).key in listed)
        await pilot.press("down", "o")
        await on_screen(pilot, "cameras")
        await until(pilot, lambda: choices(pilot).key in listed.values())
        await pilot.press("escape")
        await on_screen(pilot, "events")


async def test_keys_typed_ahead_go_from_relative_to_relative(bare_site: Site) -> None:
    async with sample_console(bare_site) as (_, pilot):
        await pilot.press("5")
        await on_row(pilot, "containers", "xaiva-cpu-debian12")
        burst(pilot, "o", "o", "O", "p", "O", "a")
        await handled(pilot)
        await on_row(pilot, "artifacts", "cpu-debian12")


async def test_a_missing_relative_is_named_with_the_reason(bare_site: Site) -> None:
    app = XaivaApp(bare_site, parts=sample.PARTS)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("5")
        await on_row(pilot, "containers", "xaiva-cpu-debian12")
        await pilot.press("end", "o")
        await shows(pilot, "postgres has no preset: it was not launched by xaiva")
        await pilot.press("2")
        await on_screen(pilot, "presets")
        await pilot.press("end", "o")
        await shows(pilot, "no build of old-site is kept: b builds it")
        assert app.current_mode == "presets"
        await pilot.press("O", "escape")
        await until(pilot, lambda: not isinstance(app.screen, LetterMenu))


async def test_what_a_silent_source_knows_is_not_known(bare_site: Site) -> None:
    async with XaivaApp(bare_site).run_test(size=(120, 40), notifications=True) as pilot:
        (bare_site.presets / "one.json").write_text("{}")
        await pilot.press("2")
        await on_row(pilot, "presets", "one")
        await pilot.press("O", "t")
        await shows(pilot, "Its container: not known. Docker engine")


def test_builds_know_their_containers_and_operations() -> None:
    build = sample.builds()[1]
    container = sample.containers().containers[0].model_copy(update={"image_id": DIGEST})
    listing = sample.containers()
    listing.containers[0] = container
    console: XaivaApp = None  # type: ignore[assignment]  # none of these asks the console
    assert relative("builds", "t").find(console, build, listing) == container.name
    assert relative("containers", "b").find(console, container, [build]) == build.id
    with pytest.raises(NoRelative, match="no container was started"):
        relative("builds", "t").find(console, build, sample.containers())
    running = operation(3, "build", build.preset, OperationState.RUNNING, 0).model_copy(
        update={"started": build.started - 1}
    )
    ended = running.model_copy(update={"id": 2, "state": OperationState.DONE, "ended": build.started - 0.5})
    assert relative("builds", "w").find(console, build, [ended, running]) == "3"
    assert relative("operations", "b").find(console, running, [build]) == build.id
    with pytest.raises(NoRelative, match="not in the ledger"):
        relative("builds", "w").find(console, build, [ended])


def test_the_event_of_an_inspection_leads_to_its_product() -> None:
    console: XaivaApp = None  # type: ignore[assignment]  # none of these asks the console
    seen = sample.events().events[0]
    inspected = seen.model_copy(update={"camera": "inspection", "product": "bottle"})
    products = sample_inspection.products()
    assert relative("events", "d").find(console, inspected, products) == "product:bottle"
    with pytest.raises(NoRelative, match="an inspection of bottle: O shows that product"):
        relative("events", "c").find(console, inspected, sample.cameras())
    with pytest.raises(NoRelative, match="it is of no product"):
        relative("events", "d").find(console, seen, products)
    gone = inspected.model_copy(update={"product": "jar"})
    with pytest.raises(NoRelative, match="knows no product jar any more"):
        relative("events", "d").find(console, gone, products)
