"""Lists sorted by a column: by key, by a click on its title, by the values behind the cells; the cursor follows."""

from __future__ import annotations

from typing import Any

import pytest
from textual.app import App, ComposeResult

from tests.tui.support import text, until
from tests.tui.test_snapshots import sample_app
from tui.app import XaivaApp
from tui.formatters.cells import Column
from tui.formatters.numbers import size
from tui.screens.events import EventsScreen
from tui.theme import TERMINAL_VARIABLES
from tui.widgets.choice_list import ChoiceList, ChoiceRow

__all__ = ["sample_app"]
COLUMNS = (
    Column("name", 12, sort=lambda item: item[0]),
    Column("note", 8),
    Column("size", 9, right=True, sort=lambda item: item[1]),
)
ITEMS: list[tuple[str, int | None]] = [("cam10", 900), ("cam2", 3 << 20), ("old", None), ("cam1", 2 << 10)]
BY_SOURCE, BY_NAME = ["cam10", "cam2", "old", "cam1"], ["cam1", "cam2", "cam10", "old"]
BY_SIZE, BY_SIZE_UP = ["cam2", "cam1", "cam10", "old"], ["cam10", "cam1", "cam2", "old"]


class OneList(App[None]):
    """Nothing but a list."""

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return TERMINAL_VARIABLES

    def compose(self) -> ComposeResult:
        yield ChoiceList(COLUMNS)


def rows(items: list[tuple[str, int | None]]) -> list[ChoiceRow]:
    return [ChoiceRow(name, (name, "", size(count) if count else ""), (name, count)) for name, count in items]


async def test_clicks_on_titles_sort_by_values_and_the_cursor_follows() -> None:
    app = OneList()
    async with app.run_test() as pilot:
        choices = app.query_one(ChoiceList)
        choices.show(rows(ITEMS))
        choices.move_cursor_to("cam2")

        async def click(title: str) -> list[str]:
            heading = text(pilot).splitlines()[0]  # type: ignore[arg-type]
            await pilot.click(ChoiceList, offset=(heading.index(title), 0))
            await pilot.pause()
            assert choices.key == "cam2"
            return choices.keys

        assert await click("name") == BY_NAME
        assert "name▲" in text(pilot)  # type: ignore[arg-type]
        assert await click("name") == BY_NAME[::-1]
        assert await click("name") == BY_SOURCE
        assert await click("note") == BY_SOURCE
        assert await click("size") == BY_SIZE
        assert "size▼" in text(pilot)  # type: ignore[arg-type]
        choices.show(rows([("cam3", 1 << 30), *ITEMS]))
        assert choices.keys == ["cam3", *BY_SIZE]
        choices.search("cam1")
        assert choices.keys == ["cam1", "cam10"]
        choices.search("")
        choices.move_cursor_to("cam2")
        choices.show(rows(ITEMS))
        assert await click("size") == BY_SIZE_UP  # what is unknown stays last


async def test_rows_with_equal_values_keep_the_order_of_their_source() -> None:
    app = OneList()
    async with app.run_test() as pilot:
        choices = app.query_one(ChoiceList)
        choices.show(rows([("b", 1), ("a", 1), ("c", 2)]))
        await pilot.pause()
        choices.sort_beside(-1)
        assert choices.keys == ["c", "b", "a"]
        choices.sort_reverse()
        assert choices.keys == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("screen", "keys", "expected"),
    [
        pytest.param("5", [">", ">", ">"], "CPU", id="containers-cpu"),
        pytest.param("4", ["I"], "preset", id="builds-preset"),
        pytest.param("7", ["<"], "result", id="operations-last-in-view"),
        pytest.param("0", [">"], "rule", id="service-rule"),
    ],
)
async def test_keys_choose_the_column_and_the_screen_keeps_it(
    sample_app: XaivaApp, screen: str, keys: list[str], expected: str
) -> None:
    names: dict[str, str] = {">": "greater_than_sign", "<": "less_than_sign"}
    async with sample_app.run_test(size=(160, 45)) as pilot:
        await pilot.press(screen)
        await until(pilot, lambda: sample_app.screen.is_mounted)
        sample_app.tick()
        choices = sample_app.screen.query(ChoiceList).first()
        await until(pilot, lambda: choices.keys)
        await pilot.press(*(names.get(key, key) for key in keys))
        order = choices.row_order
        assert order is not None
        assert choices.columns[order.column].title == expected
        await pilot.press("1", screen)
        await until(pilot, lambda: f"{expected}{'▼' if order.descending else '▲'}" in text(pilot))


async def test_every_column_of_every_list_sorts_what_is_there(sample_app: XaivaApp) -> None:
    async with sample_app.run_test(size=(160, 45)) as pilot:
        for screen in "234567":
            await pilot.press(screen)
            await until(pilot, lambda: sample_app.screen.is_mounted)
            sample_app.tick()
            for choices in sample_app.screen.query(ChoiceList):
                await until(pilot, lambda choices=choices: choices.keys)
                before: list[Any] = choices.keys
                for _ in choices.columns:
                    choices.sort_beside(1)
                    assert sorted(choices.keys) == sorted(before)


async def test_events_are_sorted_by_the_service(sample_app: XaivaApp) -> None:
    async with sample_app.run_test(size=(160, 45)) as pilot:
        await pilot.press("8")
        await until(pilot, lambda: isinstance(sample_app.screen, EventsScreen) and sample_app.screen.is_mounted)
        screen = sample_app.screen
        assert isinstance(screen, EventsScreen)

        def asked() -> tuple[str, bool]:
            return screen._query.sort, screen._query.ascending

        assert asked() == ("time", False)
        await pilot.press("greater_than_sign")
        assert asked() == ("time", True)
        await pilot.press("greater_than_sign")
        assert asked() == ("score", False)
        await pilot.press("I")
        assert asked() == ("score", True)
        await until(pilot, lambda: "scor▲" in text(pilot))
        await pilot.press("I")
        assert asked() == ("time", False)
        assert screen.choices.row_order is None
