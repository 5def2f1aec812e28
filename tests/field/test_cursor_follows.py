"""The cursor stays behind when the list changes, and the next key acts on another row.

It applies to every list: the cursor belongs to a thing and not to a place. It goes to what was made, stays with its
thing when the order changes, and goes to a neighbour when its thing is gone; a key that acts names what it acts on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input

from core.site import Site
from core.site_operations import site_ledger
from tests.support.service import running_service, site_of
from tests.tui.bursts import burst, handled
from tests.tui.conftest import bare_site as bare_site
from tests.tui.conftest import preset_site as preset_site
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.formatters.cells import Column
from tui.screens.base import ConsoleScreen
from tui.screens.confirm import Confirm
from tui.screens.preset_name import AskName
from tui.theme import TERMINAL_VARIABLES
from tui.widgets.choice_list import ChoiceList, ChoiceRow

PASSWORD = "correct horse battery"


class OneList(App[None]):
    """Nothing but a list."""

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return TERMINAL_VARIABLES

    def compose(self) -> ComposeResult:
        yield ChoiceList([Column("name")])


def rows(words: str) -> list[ChoiceRow]:
    return [ChoiceRow(letter, (letter,)) for letter in words]


async def test_the_cursor_stays_in_view_when_the_terminal_gets_smaller() -> None:
    app = OneList()
    async with app.run_test(size=(40, 24)) as pilot:
        choices = app.query_one(ChoiceList)
        choices.show(rows("abcdefghijklmnopqrst"))
        choices.move_cursor_to("t")
        await pilot.resize_terminal(40, 8)
        await until(pilot, lambda: choices.size.height <= 8)
        await pilot.pause()
        assert 0 < choices.keys.index("t") + 1 - choices.scroll_offset.y < choices.size.height


@pytest.mark.parametrize(
    ("before", "at", "new", "after", "there"),
    [
        pytest.param("abc", "a", "b2", ["abc", "ab2c"], "2", id="made-below"),
        pytest.param("abc", "b", "A", ["abc", "Aabc"], "A", id="made-on-top"),
        pytest.param("abc", "b", "x", ["abc", "abc", "abc", "abcx"], "x", id="made-but-seen-three-refreshes-later"),
        pytest.param("abc", "b", "x", ["acx"], "x", id="renamed-away-from-under-the-cursor"),
        pytest.param("", "", "x", ["", "x"], "x", id="the-first-of-all"),
        pytest.param("abc", "b", "", ["cab"], "b", id="another-order"),
        pytest.param("abc", "b", "", ["xyabc"], "b", id="others-made-above"),
        pytest.param("abcd", "b", "", ["acd"], "c", id="gone-the-next-one"),
        pytest.param("abcd", "d", "", ["abc"], "c", id="gone-it-was-the-last"),
        pytest.param("abcde", "c", "", ["de"], "d", id="gone-with-those-above"),
        pytest.param("abcde", "c", "", ["edxyb"], "d", id="gone-and-another-order"),
        pytest.param("abc", "b", "", ["", "abc"], "b", id="all-gone-for-a-moment"),
        pytest.param("abc", "b", "", ["xyz"], "x", id="nothing-is-as-before"),
    ],
)
async def test_the_cursor_belongs_to_a_thing(before: str, at: str, new: str, after: Sequence[str], there: str) -> None:
    app = OneList()
    async with app.run_test() as pilot:
        choices = app.query_one(ChoiceList)
        choices.show(rows(before))
        choices.move_cursor_to(at)
        await pilot.pause()
        if new:
            choices.move_cursor_to_new(new[-1])
        for words in after:
            choices.show(rows(words))
            await pilot.pause()
        assert choices.key == there


async def test_a_filter_does_not_hide_what_was_made_and_a_moved_cursor_is_left_alone() -> None:
    app = OneList()
    async with app.run_test() as pilot:
        choices = app.query_one(ChoiceList)
        choices.focus()
        choices.show(rows("abc"))
        choices.search("a")
        choices.move_cursor_to_new("x")
        choices.show(rows("abcx"))
        assert (choices.key, choices.keys) == ("x", list("abcx"))
        choices.move_cursor_to_new("y")
        await pilot.press("home")
        choices.show(rows("abcxy"))
        assert choices.key == "a"


async def typed(pilot: Pilot[int], words: str) -> None:
    """Another name into the dialog that asks for one."""
    await until(pilot, lambda: isinstance(pilot.app.screen, AskName))
    pilot.app.screen.query_one(Input).value = words
    await pilot.press("enter")


async def on_list(pilot: Pilot[int], screen: str, choices: str, key: str) -> None:
    """Wait until the cursor of that list stands on the key."""

    def there() -> bool:
        shown = pilot.app.screen
        if not isinstance(shown, ConsoleScreen) or screen != shown.NAME:
            return False
        return shown.query_one(choices, ChoiceList).key == key

    await until(pilot, there)


@pytest.mark.parametrize(
    ("key", "name", "then"),
    [
        pytest.param("n", "zebra", "escape", id="new"),
        pytest.param("d", "zebra", "", id="duplicate"),
        pytest.param("d", "aardvark", "", id="duplicate-above"),
        pytest.param("r", "zebra", "", id="rename"),
        pytest.param("r", "aardvark", "", id="rename-above"),
    ],
)
async def test_a_preset_that_was_made_is_the_one_that_is_deleted(
    preset_site: Site, key: str, name: str, then: str
) -> None:
    app = XaivaApp(preset_site)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await shows(pilot, "cpu-debian12")
        app.screen.query_one("#choices", ChoiceList).move_cursor_to("cpu-debian12")
        await pilot.press(key)
        await typed(pilot, name)
        if then:
            await until(pilot, lambda: type(app.screen).__name__ == "EditorScreen")
            await pilot.press(then)
        await on_list(pilot, "presets", "#choices", name)
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert f"Delete preset {name}?" in text(pilot)
        await pilot.press("escape", "3")
        await on_list(pilot, "artifacts", "#choices", name)


@pytest.mark.parametrize(("key", "left"), [("d", {"cpu-debian12"}), ("r", set())])
async def test_what_is_typed_after_it_was_made_is_for_its_row(preset_site: Site, key: str, left: set[str]) -> None:
    app = XaivaApp(preset_site)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2")
        await shows(pilot, "cpu-debian12")
        burst(pilot, "/cpu-debian12", "enter", key, "\x15zebra", "enter", "X", "y", "/all")  # ctrl+u
        await handled(pilot)
        paths = {name: preset_site.presets / f"{name}.json" for name in ("cpu-debian12", "zebra")}
        await until(pilot, lambda: {name for name, path in paths.items() if path.exists()} == left)


async def test_an_operation_that_was_started_is_the_one_under_the_cursor(preset_site: Site) -> None:
    ledger = site_ledger(preset_site)
    old = ledger.start("verify", "cpu-debian12")
    ledger.wait(old.id, 30)
    app = XaivaApp(preset_site)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("7")
        await on_list(pilot, "operations", "#choices", str(old.id))
        await pilot.press("3")
        await shows(pilot, "cpu-debian12")
        app.screen.query_one("#choices", ChoiceList).move_cursor_to("cpu-debian12")
        started: dict[str, Any] = app.new_rows
        app.screen.start_operation("verify", "cpu-debian12")  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: started)
        await pilot.press("7")
        await on_list(pilot, "operations", "#choices", str(old.id + 1))
    ledger.wait(old.id + 1, 30)


async def test_cameras_rules_and_users_that_were_made_are_under_the_cursor(bare_site: Site, tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        site = site_of(service, bare_site)
        app = XaivaApp(site)
        async with app.run_test(size=(140, 45)) as pilot:
            for screen, key, letter, choices, fields in (
                ("cameras", "6", "a", "#choices", {"source": "/nowhere.mp4", "enabled": "no"}),
                ("service", "0", "n", "#rules", {"to": "http://127.0.0.1:9/hook"}),
                ("service", "0", "u", "#users", {"password": PASSWORD, "again": PASSWORD, "role": "admin"}),
            ):
                await pilot.press(key)
                await until(pilot, lambda screen=screen: app.current_mode == screen)
                for name in ("m", "b"):
                    await pilot.press(letter)
                    await until(pilot, lambda: len(app.screen_stack) == 2 and isinstance(app.focused, Input))
                    first = "id" if screen == "cameras" else "name"
                    for field, value in {first: name, **fields}.items():
                        app.screen.query_one(f"#{field}", Input).value = value
                    await pilot.press("enter")
                    await on_list(pilot, screen, choices, name)
