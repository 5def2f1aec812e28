"""The Stacks screen over a real engine: up, a change, down."""

from __future__ import annotations

import pytest

from tests.stacks.conftest import NAME, WORKS, Shop
from tests.tui.support import shows, until
from tests.tui.test_navigation import on_screen
from tests.tui.test_stack_screen import choices, row_of
from tui.app import XaivaApp
from tui.navigation import SCREENS

SECONDS = 120.0  # of an operation on a busy machine


@pytest.mark.engine
async def test_a_stack_comes_up_changes_and_goes(shop: Shop) -> None:
    app = XaivaApp(shop.site)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press(*SCREENS["stacks"].keys)
        await on_screen(pilot, "stacks")
        await until(pilot, lambda: "create: it has no container" in row_of(pilot, f"{NAME}/cache"))
        assert "build: the engine has no image of it" in row_of(pilot, f"{NAME}/api")
        await pilot.press("U")
        await shows(pilot, "page: it has no container")
        await pilot.press("y")
        await until(pilot, lambda: "▶ 3 of 3 run" in row_of(pilot, NAME), SECONDS)
        await until(pilot, lambda: "✓ nothing" in row_of(pilot, NAME), SECONDS)
        assert "▶ healthy" in row_of(pilot, f"{NAME}/page")
        choices(pilot).move_cursor_to(f"{NAME}/api")
        await shows(pilot, "version 1")  # its log
        shop.change("api", WORKS.replace("1", "2"))
        await pilot.press("f5")
        await until(pilot, lambda: "build: api/serve.sh changed" in row_of(pilot, f"{NAME}/api"))
        await pilot.press("X")
        await shows(pilot, "Its volumes and images")
        await pilot.press("y")
        await until(pilot, lambda: "○ no container" in row_of(pilot, f"{NAME}/api"), SECONDS)
    assert shop.containers() == {}
