"""A key jumps to any panel in view, another shows it in the full size of the terminal; all other keys keep working."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widget import Widget

from core.site import Site
from tests.tui.bursts import burst, handled
from tests.tui.conftest import preset_site as preset_site
from tests.tui.support import settled, shows, text, until
from tests.tui.test_snapshots import sample_app
from tui.app import XaivaApp
from tui.screens.editor import EditorScreen
from tui.screens.jump import Jump
from tui.screens.panel_screen import PanelScreen
from tui.widgets.choice_list import ChoiceList
from tui.widgets.log_view import LogView
from tui.widgets.picture_view import PictureView

__all__ = ["sample_app"]


async def opened(app: XaivaApp, pilot: Pilot[int], key: str) -> PanelScreen:
    await pilot.press(key)
    await until(pilot, lambda: app.screen.is_mounted)
    await settled(pilot)
    assert isinstance(app.screen, PanelScreen)
    return app.screen


def panel_of(widget: Widget | None) -> Widget | None:
    nodes = widget.ancestors_with_self if widget is not None else ()
    return next((node for node in nodes if isinstance(node, Widget) and node.has_class("panel")), None)


@pytest.mark.parametrize(
    ("key", "count", "size"), [("1", 6, (80, 24)), ("6", 3, (160, 45)), ("9", 4, (80, 24)), ("5", 3, (60, 20))]
)
async def test_every_panel_is_two_keys_away_and_one_more_shows_it_alone(
    sample_app: XaivaApp, key: str, count: int, size: tuple[int, int]
) -> None:
    async with sample_app.run_test(size=size) as pilot:
        screen = await opened(sample_app, pilot, key)
        panels = [panel for panel in screen.query(".panel") if panel.region.area]
        assert len(panels) == count
        for letter, panel in zip("asdfgh", panels, strict=False):
            await pilot.press("J", letter)
            await until(pilot, lambda: sample_app.screen is screen)
            assert panel_of(screen.focused) is panel
            await pilot.press("Z")
            await until(pilot, lambda panel=panel: panel.region.width == size[0])
            assert panel.region.height == size[1] - 2
            assert " @ " in text(pilot).splitlines()[0]  # site and host are always seen
            await pilot.press("escape")
            await until(pilot, lambda panel=panel: panel.region.area < size[0] * (size[1] - 2))
            assert panel_of(screen.focused) is panel


async def test_the_letters_stand_on_the_panels_and_any_other_key_takes_them_away(sample_app: XaivaApp) -> None:
    async with sample_app.run_test(size=(80, 24)) as pilot:
        screen = await opened(sample_app, pilot, "5")
        await shows(pilot, "3 lines · follows")
        before, focused = text(pilot), screen.focused
        await pilot.press("J")
        await until(pilot, lambda: isinstance(sample_app.screen, Jump) and sample_app.screen.is_mounted)
        await shows(pilot, " a Containers")
        await shows(pilot, " d ")
        await pilot.press("escape")
        await until(pilot, lambda: sample_app.screen is screen and text(pilot) == before)
        assert screen.focused is focused


async def test_keys_typed_ahead_reach_the_panel(sample_app: XaivaApp) -> None:
    async with sample_app.run_test(size=(160, 45)) as pilot:
        screen = await opened(sample_app, pilot, "5")
        burst(pilot, "J", "d", "Z", "/live", "enter")
        await handled(pilot)
        await until(pilot, lambda: screen.query_one(LogView).hit is not None)
        assert screen.maximized is screen.query_one("#log")
        await shows(pilot, "found in line")
        await pilot.press("escape")  # the search first
        assert screen.maximized is not None
        await pilot.press("escape")
        assert screen.maximized is None


async def test_the_filter_of_a_list_works_in_full_screen_and_another_panel_can_take_its_place(
    sample_app: XaivaApp,
) -> None:
    async with sample_app.run_test(size=(80, 24)) as pilot:
        screen = await opened(sample_app, pilot, "5")
        choices = screen.query_one(ChoiceList)
        await until(pilot, lambda: len(choices.keys) > 1)
        await pilot.press("Z", "slash", *"postgres", "enter")
        await until(pilot, lambda: len(choices.keys) == 1)
        await pilot.press("escape")
        await until(pilot, lambda: len(choices.keys) > 1)
        assert screen.maximized is choices
        await pilot.press("l")
        assert screen.maximized is screen.query_one("#log")
        await pilot.press("1", "5")
        assert screen.maximized is screen.query_one("#log")
        await pilot.press("Z")
        assert screen.maximized is None


async def test_a_picture_gets_sharper_in_full_screen(sample_app: XaivaApp) -> None:
    async with sample_app.run_test(size=(160, 45)) as pilot:
        screen = await opened(sample_app, pilot, "6")
        view = screen.query_one(PictureView)
        await until(pilot, lambda: view._rendered is not None)
        assert view._rendered is not None
        small = len(view._rendered.strips)
        await pilot.press("J", "s", "Z")
        await until(pilot, lambda: view._rendered is not None and len(view._rendered.strips) > 1.5 * small)


async def test_without_a_focus_the_key_says_what_to_do(sample_app: XaivaApp) -> None:
    async with sample_app.run_test(size=(80, 24)) as pilot:
        await opened(sample_app, pilot, "1")
        await pilot.press("Z")
        assert [note.message for note in sample_app._notifications] == ["no panel has the focus: J or Tab chooses one"]


async def test_the_editor_has_both_keys(preset_site: Site) -> None:
    app = XaivaApp(preset_site, start="presets")
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.screen.query_one(ChoiceList).keys)
        await pilot.press("down", "e")
        await until(pilot, lambda: isinstance(app.screen, EditorScreen) and app.screen.query_one("#f-base").has_focus)
        screen = app.screen
        await pilot.press("ctrl+g", "s", "Z")
        await until(pilot, lambda: screen.query_one("#findings").region.width == 160)
        await pilot.press("escape", "ctrl+g", "a")
        await until(pilot, lambda: panel_of(screen.focused) is screen.query_one("#views"))
        assert app.screen is screen
