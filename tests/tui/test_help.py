"""The help and the command palette: what they list, how they are searched, and what they run."""

from __future__ import annotations

from core.site import Site
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.screens.help import HelpScreen


async def test_help_lists_the_keys_of_the_screen_it_was_opened_over(bare_site: Site) -> None:
    async with XaivaApp(bare_site).run_test(size=(120, 50)) as pilot:
        await pilot.press("7", "question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
        await shows(pilot, "Retry")
        assert "Suggest" not in text(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)


async def test_help_is_searched_and_escape_shows_all_before_it_closes(bare_site: Site) -> None:
    app = XaivaApp(bare_site)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("7", "question_mark", "slash", *"ledger !quit")
        await shows(pilot, "nothing matches")
        await pilot.press(*["backspace"] * 12, *"full screen", "enter")
        await until(pilot, lambda: "Z" in text(pilot) and "It continues" not in text(pilot))
        await pilot.press("escape")
        await shows(pilot, "It continues")
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        assert app.current_mode == "operations"


async def test_the_palette_finds_an_action_of_another_screen_and_runs_it_there(bare_site: Site) -> None:
    app = XaivaApp(bare_site)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("colon")
        await pilot.press(*"only running")
        await shows(pilot, "Operations: Only running operations")
        await pilot.press("enter")
        await until(pilot, lambda: app.current_mode == "operations")
