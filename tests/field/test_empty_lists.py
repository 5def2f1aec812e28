"""An empty list says why it is empty: nothing there, hidden by a filter and how to show it, or not known.

It applies to every list of the console, whatever narrows it; and to what 80 columns have no room for.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from core.service_client import LoginIdentity, text_formats
from core.site import Site
from core.site_operations import site_ledger
from tests.cli.conftest import Xaiva, small_site, xaiva  # noqa: F401 - fixtures
from tests.tui import sample
from tests.tui.bursts import LISTS, console, open_screen
from tests.tui.conftest import bare_site, preset_site  # noqa: F401 - fixtures
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.navigation import SCREENS
from tui.widgets.choice_list import ChoiceList
from tui.widgets.log_view import LogView


async def test_a_search_that_hides_all_says_how_to_show_it(site: Site) -> None:
    async with console(site, "overview", (80, 24)) as pilot:
        for screen in [one for one in LISTS if one != "overview"]:
            await open_screen(pilot, screen)
            await pilot.press("/", "q", "q", "enter")
            await shows(pilot, "nothing matches “qq”: Esc shows all")


async def test_only_running_operations(preset_site: Site) -> None:  # noqa: F811
    app = XaivaApp(preset_site)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await shows(pilot, "no operations yet")
        await pilot.press("u")
        await shows(pilot, "no operations yet")  # true with the filter as well
        operation = site_ledger(preset_site).start("verify", "cpu-debian12", {})
        site_ledger(preset_site).wait(operation.id, 30)
        await shows(pilot, "no operation is running: press u to show all")
        await pilot.press("u")
        await shows(pilot, "verify cpu-debian12")


NOT_KNOWN = [  # screen whose source fails on a site with nothing, and the words
    ("containers", "unknown: the socket does not exist"),
    ("cameras", "unknown: nothing answers there"),
    ("service", "unknown: nothing answers there"),
]


async def test_a_source_that_fails_is_no_empty_list(bare_site: Site) -> None:  # noqa: F811
    app = XaivaApp(bare_site)
    async with app.run_test(size=(160, 45)) as pilot:
        for screen, words in NOT_KNOWN:
            await pilot.press(*SCREENS[screen].keys)
            await until(pilot, lambda screen=screen: app.current_mode == screen)  # type: ignore[misc]
            await until(pilot, lambda words=words: words in app.screen.query(ChoiceList).first().empty)  # type: ignore[misc]


CLI = [  # what lists nothing on an empty site or asks a source that is not there, and the words
    (("ops", "list"), 0, "no operations yet"),
    (("ops", "list", "--live"), 0, "no operation is running; leave out --live"),
    (("builds", "list"), 0, "no builds yet; start one with: xaiva build PRESET"),
    (("builds", "list", "small"), 0, "no builds of small yet"),
    (("ps",), 1, "the socket does not exist"),
    (("camera", "list"), 1, "nothing answers there"),
    (("event", "list", "--camera", "gate"), 1, "nothing answers there"),
]


@pytest.mark.parametrize(("words", "code", "said"), CLI, ids=[" ".join(words) for words, _, _ in CLI])
def test_the_command_line_says_why_a_list_is_empty(
    xaiva: Xaiva,  # noqa: F811
    tmp_path: Path,
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    run = xaiva(*words, env={"DOCKER_HOST": f"unix://{tmp_path}/no.sock", "XAIVA_SERVICE": "http://127.0.0.1:9"})
    assert (run.code, said in run.err) == (code, True), run
    assert code or run.out.count("\n") == 1  # a program finds the head of the table alone


# -- what 80 columns have no room for ----------------------------------------------------------------------------------


def last_line(pilot: Pilot[int]) -> str:
    return text(pilot).splitlines()[-1]


async def test_a_read_only_console_says_so_on_every_screen_and_who_is_logged_in(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(XaivaApp, "who", LoginIdentity("ana-maria-of-the-night-shift", "", False))
    async with console(site, "overview", (80, 24)) as pilot:
        pilot.app.read_only = True  # type: ignore[attr-defined]
        for screen in SCREENS:
            await pilot.press(*SCREENS[screen].keys)
            await until(pilot, lambda screen=screen: pilot.app.current_mode == screen and pilot.app.screen.is_mounted)  # type: ignore[misc]
            pilot.app.tick()  # type: ignore[attr-defined]
            await until(
                pilot, lambda: "· ana-maria-of-th" in (top := text(pilot).splitlines()[0]) and "read-only" in top
            )


async def test_the_keys_of_a_log_stand_first_while_it_has_the_focus(site: Site) -> None:
    async with console(site, "overview", (80, 24)) as pilot:
        for screen in ("builds", "containers", "operations"):
            await open_screen(pilot, screen)
            pilot.app.screen.query_one(LogView).focus()
            await until(pilot, lambda: last_line(pilot).startswith(" / Search  & Filter"))


@pytest.mark.parametrize(
    ("stored", "words"),
    [("ana", "ana"), ("service", "the holder of the service's token"), ("", "an unknown user")],
)
def test_who_acknowledged(stored: str, words: str) -> None:
    event = sample.events().events[0].model_copy(update={"acknowledged_by": stored})
    assert text_formats.format_acknowledger(event) == words
