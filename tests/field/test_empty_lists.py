"""An empty list says why it is empty: nothing there, hidden by a filter and how to show it, or not known.

It applies to every list of the console, whatever narrows it; and to what 80 columns have no room for.
"""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from core.operations.ledger import Ledger
from core.service_client import notation
from core.site import Site
from tests.field.test_type_ahead import LISTS, console
from tests.tui import sample
from tests.tui.conftest import bare_site, preset_site  # noqa: F401 - fixtures
from tests.tui.support import shows, text, until
from tui.actions import SCREENS
from tui.app import XaivaApp
from tui.widgets.bars import KeyBar
from tui.widgets.choice_list import ChoiceList
from tui.widgets.log_view import LogView


@pytest.mark.parametrize("screen", [one for one in LISTS if one != "overview"])
async def test_a_search_that_hides_all_says_how_to_show_it(site: Site, screen: str) -> None:
    async with console(site, screen, (80, 24)) as pilot:
        await pilot.press("/", "q", "q", "enter")
        await shows(pilot, "nothing matches “qq”: Esc shows all")


async def test_only_running_operations(preset_site: Site) -> None:  # noqa: F811
    app = XaivaApp(preset_site)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await shows(pilot, "no operation yet")
        await pilot.press("o")
        await shows(pilot, "no operation yet")  # true with the filter as well
        operation = Ledger(preset_site).start("verify", "cpu-debian12", {})
        Ledger(preset_site).wait(operation.id, 30)
        await shows(pilot, "no operation runs: o shows those that are over")
        await pilot.press("o")
        await shows(pilot, "verify cpu-debian12")


NOT_KNOWN = [  # screen whose source fails on a site with nothing, and the words
    ("containers", "not known: there is no such socket"),
    ("cameras", "not known: nothing answers there"),
    ("service", "not known: nothing answers there"),
]


@pytest.mark.parametrize(("screen", "words"), NOT_KNOWN)
async def test_a_source_that_fails_is_no_empty_list(bare_site: Site, screen: str, words: str) -> None:  # noqa: F811
    app = XaivaApp(bare_site)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press(SCREENS[screen][0])
        await until(pilot, lambda: app.current_mode == screen)
        await until(pilot, lambda: words in app.screen.query(ChoiceList).first().empty)


# -- what 80 columns have no room for ----------------------------------------------------------------------------------


def last_line(pilot: Pilot[int]) -> str:
    return text(pilot).splitlines()[-1]


@pytest.mark.parametrize("screen", SCREENS)
async def test_a_read_only_console_says_so_on_every_screen(site: Site, screen: str) -> None:
    async with console(site, "overview", (80, 24)) as pilot:
        pilot.app.read_only = True  # type: ignore[attr-defined]
        await pilot.press(SCREENS[screen][0])
        await until(pilot, lambda: pilot.app.current_mode == screen and pilot.app.screen.is_mounted)
        pilot.app.screen.query_one(KeyBar).refresh()
        await shows(pilot, "read-only")


@pytest.mark.parametrize("screen", ["builds", "containers", "operations"])
async def test_the_keys_of_a_log_stand_first_while_it_has_the_focus(site: Site, screen: str) -> None:
    async with console(site, screen, (80, 24)) as pilot:
        pilot.app.screen.query_one(LogView).focus()
        await until(pilot, lambda: last_line(pilot).startswith(" / Search  & Filter"))


@pytest.mark.parametrize(
    ("stored", "words"),
    [("ana", "ana"), ("service", "the holder of the service's token"), ("", "somebody whose name is not known")],
)
def test_who_acknowledged(stored: str, words: str) -> None:
    event = sample.events().events[0].model_copy(update={"acknowledged_by": stored})
    assert notation.acknowledged_by(event) == words
