"""Known values drop down from their field: by key and by click, with a mark on those that fit the target."""

from __future__ import annotations

import json

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from core.site import Site
from tests.tui.bursts import burst, handled
from tests.tui.conftest import bare_site as bare_site
from tests.tui.conftest import preset_site as preset_site
from tests.tui.support import settled, shows, text, until
from tests.tui.test_snapshots import sample_app
from tui.app import XaivaApp
from tui.screens.editor import EditorScreen
from tui.screens.pick import Pick
from tui.widgets.choice_list import ChoiceList
from tui.widgets.drop_down import DropDownMark

__all__ = ["sample_app"]


async def editor(app: XaivaApp, pilot: Pilot[int], site: Site) -> EditorScreen:
    """The editor of a preset for a GPU that few new versions run on."""
    path = site.presets / "ubuntu22.04-cuda12.6.json"
    preset = json.loads(path.read_text())
    preset["target"] = {"gpu": "GTX 1060 6GB", "driver": "535.183"}
    path.write_text(json.dumps(preset))
    await until(pilot, lambda: app.screen.query_one(ChoiceList).keys)
    await pilot.press("end", "e")
    await until(pilot, lambda: isinstance(app.screen, EditorScreen))
    screen = app.screen
    assert isinstance(screen, EditorScreen)
    await until(pilot, lambda: screen._choices is not None and screen.query_one("#f-tensorrt", Input).suggester)
    return screen


@pytest.mark.parametrize("size", [(160, 45), (60, 20)])
async def test_what_fits_the_target_is_marked_and_the_reason_is_said(preset_site: Site, size: tuple[int, int]) -> None:
    app = XaivaApp(preset_site, start="presets")
    async with app.run_test(size=size) as pilot:
        screen = await editor(app, pilot, preset_site)
        box = screen.query_one("#f-base", Input)
        box.focus()
        await pilot.press("down")
        await until(pilot, lambda: isinstance(app.screen, Pick) and app.screen._ratings)
        await pilot.press(*"12.4.1-base")
        await until(pilot, lambda: "✓  nvidia/cuda:12.4.1-base-ubuntu22.04" in text(pilot))
        await shows(pilot, "checked for GTX 1060")
        await pilot.press(*["backspace"] * 11, *"13.0.2-base")
        await shows(pilot, "✗")
        await shows(pilot, "too old for CUDA")
        dialog = app.screen.query_one(".pick").region
        assert dialog.right <= size[0]
        assert dialog.bottom <= size[1]
        await pilot.press("enter")
        await until(pilot, lambda: box.value == "nvidia/cuda:13.0.2-base-ubuntu22.04")
        assert app.screen is screen
        assert box.has_focus


async def test_enter_and_a_click_on_the_mark_open_the_values_and_any_other_value_can_be_typed(
    preset_site: Site,
) -> None:
    app = XaivaApp(preset_site, start="presets")
    async with app.run_test(size=(160, 45)) as pilot:
        screen = await editor(app, pilot, preset_site)
        box = screen.query_one("#f-python", Input)
        box.focus()
        burst(pilot, "enter", "3.12", "enter")
        await handled(pilot)
        await until(pilot, lambda: box.value == "3.12")
        burst(pilot, "3.7")
        await until(pilot, lambda: box.value == "3.7")
        await pilot.click(next(mark for mark in screen.query(DropDownMark) if mark._field == "f-python"))
        await until(pilot, lambda: isinstance(app.screen, Pick))
        await pilot.press("escape")
        screen.query_one("#f-driver", Input).focus()
        await pilot.press("down", "enter")  # no known values
        assert app.screen is screen
        marks = {mark._field for mark in screen.query(DropDownMark)}
        assert {"f-base", "f-torch", "f-tensorrt", "f-gpu"} <= marks
        assert "f-driver" not in marks


async def test_a_preset_with_errors_offers_its_values_unmarked(preset_site: Site) -> None:
    app = XaivaApp(preset_site, start="presets")
    async with app.run_test(size=(160, 45)) as pilot:
        screen = await editor(app, pilot, preset_site)
        screen.query_one("#f-python", Input).value = "three"
        screen.query_one("#f-tensorrt", Input).focus()
        await pilot.press("down")
        await shows(pilot, "not checked:")


async def test_the_values_of_a_form_drop_down_from_its_fields(sample_app: XaivaApp) -> None:
    async with sample_app.run_test(size=(80, 24)) as pilot:
        await pilot.press("6")
        await settled(pilot)
        await pilot.press("e")
        await until(pilot, lambda: sample_app.screen.query("#detector"))
        form = sample_app.screen
        box = form.query_one("#detector", Input)
        box.focus()
        await pilot.press("down")
        await until(pilot, lambda: isinstance(sample_app.screen, Pick))
        await pilot.press(*"motion", "enter")
        await until(pilot, lambda: sample_app.screen is form and box.value == "motion")
