"""Every screen in two keys and two clicks, back to where one came from, and what the lines at the top show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from core.service_client import LoginIdentity
from core.site import Site
from tests.tui import sample
from tests.tui.bursts import burst, handled
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.commands import name_score
from tui.formatters.cells import Span, width_of
from tui.formatters.top_lines import Status, fair_shares, status_parts, tab_parts
from tui.history import LIMIT, History
from tui.navigation import GROUPS, SCREENS
from tui.screens.letter_menu import LetterGrid, LetterMenu


@asynccontextmanager
async def sample_console(site: Site, size: tuple[int, int] = (160, 45)) -> AsyncIterator[tuple[XaivaApp, Pilot[int]]]:
    """A console over the sample site, on the Overview."""
    app = XaivaApp(site, parts=sample.PARTS)
    async with app.run_test(size=size) as pilot:
        yield app, pilot


async def on_screen(pilot: Pilot[int], name: str) -> None:
    """Wait until that screen is in view, with nothing over it."""
    app = pilot.app
    await until(pilot, lambda: app.current_mode == name and len(app.screen_stack) == 1 and app.screen.is_mounted)


def test_the_table_of_screens() -> None:
    letters = [entry.letter for entry in SCREENS.values()]
    digits = [entry.key for entry in SCREENS.values() if entry.key]
    assert len(set(letters)) == len(letters)
    assert len(set(digits)) == len(digits)
    assert {entry.group for entry in SCREENS.values()} <= set(GROUPS)
    names = [word for entry in SCREENS.values() for word in (entry.name, *entry.aliases)]
    assert len(set(names)) == len(names)


async def test_two_keys_open_every_screen(bare_site: Site) -> None:
    async with sample_console(bare_site) as (_, pilot):
        for entry in reversed(SCREENS.values()):
            await pilot.press("comma", entry.letter)
            await on_screen(pilot, entry.name)
        for entry in reversed(SCREENS.values()):
            assert len(entry.keys) <= 2
            await pilot.press(*entry.keys)
            await on_screen(pilot, entry.name)


@pytest.mark.parametrize("size", [(160, 45), (60, 20)])
async def test_two_clicks_open_every_screen_and_one_does_in_a_wide_terminal(
    bare_site: Site, size: tuple[int, int]
) -> None:
    async with sample_console(bare_site, size) as (app, pilot):
        for entry in reversed(SCREENS.values()):  # each from the one below it in the table
            clicks = 0
            while app.current_mode != entry.name:
                assert clicks < (1 if size[0] >= 160 else 2)
                clicks += 1
                await click_towards(pilot, entry.name)


async def click_towards(pilot: Pilot[int], name: str) -> None:
    """Click the screen's title in the menu or at the top, else its group, else what opens the menu."""
    entry = SCREENS[name]
    lines = text(pilot).splitlines()
    is_menu = isinstance(pilot.app.screen, LetterMenu)
    at = range(len(lines)) if is_menu else [1]
    words = next(word for word in (entry.title, entry.group, "…") if any(word in lines[y] for y in at))
    y = next(y for y in at if words in lines[y] and (not is_menu or f"{entry.letter}  {words}" in lines[y]))
    await pilot.click(offset=(lines[y].index(words), y))
    await pilot.pause()


async def test_a_letter_typed_ahead_waits_for_the_menu(bare_site: Site) -> None:
    async with sample_console(bare_site) as (app, pilot):
        burst(pilot, ",", "c", ",", "p", "down")
        await handled(pilot)
        await on_screen(pilot, "presets")
        burst(pilot, ",", "escape", ",", "down", "\r")
        await handled(pilot)
        entries = list(SCREENS)
        await on_screen(pilot, entries[entries.index("presets") + 1])
        assert app.is_running


async def test_arrows_go_through_the_menu(bare_site: Site) -> None:
    async with sample_console(bare_site) as (app, pilot):
        await pilot.press("comma")
        await until(pilot, lambda: isinstance(app.focused, LetterGrid))
        await shows(pilot, "what needs your attention")
        await pilot.press("right", "right", "left", "down", "enter")
        await on_screen(pilot, "artifacts")


async def test_back_returns_where_one_came_from(bare_site: Site) -> None:
    async with sample_console(bare_site) as (app, pilot):
        await pilot.press("2", "5", "6", "backspace")
        await on_screen(pilot, "containers")
        await shows(pilot, "postgres")
        await pilot.press("slash", *"post", "enter", "space", "escape")  # the filter is closed first, then the mark
        await until(pilot, lambda: len(app.screen.query_one("#choices").keys) == 3)  # type: ignore[attr-defined]
        await pilot.press("escape")
        assert app.current_mode == "containers"
        await pilot.press("escape")
        await on_screen(pilot, "presets")
        await pilot.press("backspace", "backspace", "escape")  # there is nothing before the first screen
        await on_screen(pilot, "overview")


def test_the_history_is_bounded_and_knows_where_each_group_was_left() -> None:
    history = History("overview")
    for _ in range(LIMIT):
        history.visit("cameras")
        history.visit("presets")
    history.visit("presets")  # the same screen again is no step
    assert history.last_of("watch") == "cameras"
    assert history.last_of("work") == "operations"
    steps = 0
    while history.back():
        steps += 1
    assert steps == LIMIT


def line_of(parts: list[tuple[tuple[Span, ...], str]]) -> str:
    return "".join(span.text for line, _ in parts for span in line)


def test_flags_and_user_stay_in_the_narrowest_line() -> None:
    status = Status(
        "a-site-with-a-long-name",
        "gpu-box-7.example.internal",
        Span("docker 27.1.1 context far-away"),
        Span("ana-maria-of-the-night-shift (this console)"),
        "read-only · demo · low bandwidth",
    )
    for width in (60, 80, 160):
        words = line_of(status_parts(status, width))
        assert (len(words), words.rstrip().endswith(status.flags)) == (width, True)
        assert " · ana" in words
    assert fair_shares([3, 20, 20], 23) == [3, 10, 10]
    assert fair_shares([3, 20, 20], 0) == [0, 0, 0]


def test_the_screens_of_ones_group_have_full_names_in_80_columns() -> None:
    for entry in SCREENS.values():
        parts = tab_parts(entry.name, 80)
        own = [other.title for other in SCREENS.values() if other.group == entry.group]
        assert all(title in line_of(parts) for title in own)
        assert sum(width_of(line) for line, _ in parts) <= 80
        assert all(other.title in line_of(tab_parts(entry.name, 160)) for other in SCREENS.values())


async def test_the_first_line_says_what_is_not_known_and_what_is_not_there(
    bare_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(XaivaApp, "who", LoginIdentity("ana", "", False))
    app = XaivaApp(bare_site, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "no engine · ana (this console)")
        assert text(pilot).splitlines()[0].endswith(" read-only ")
    site = Site(bare_site.root, bare_site.settings, {**bare_site.env, "DOCKER_HOST": "tcp://127.0.0.1:9"})
    async with XaivaApp(site).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "? engine")


async def test_ctrl_c_says_how_to_leave(bare_site: Site) -> None:
    app = XaivaApp(bare_site)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+c")
        await until(pilot, lambda: "Ctrl+Q closes the console" in "".join(note.message for note in app._notifications))


def test_a_name_beats_every_other_hit() -> None:
    for entry in SCREENS.values():
        for word in (entry.name, entry.title, *entry.aliases):
            scores = {other.name: name_score(other, word) for other in SCREENS.values()}
            assert max(scores, key=lambda name: scores[name]) == entry.name
    assert name_score(SCREENS["presets"], "pres") > name_score(SCREENS["presets"], "resets")


async def test_the_palette_goes_to_a_screen_by_name_and_shows_keys(bare_site: Site) -> None:
    async with sample_console(bare_site, (100, 30)) as (_, pilot):
        for typed, name in {"pres": "presets", "ps": "containers"}.items():
            burst(pilot, ":", typed, "\r")
            await handled(pilot)
            await on_screen(pilot, name)
        await pilot.press("colon", *"launch")
        await shows(pilot, "L — Start a container from the image")
