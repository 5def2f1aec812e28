"""Panels with more lines than fit: keys alone reach every line."""

from __future__ import annotations

import pytest

from tests.tui.support import shows, text, until
from tests.tui.test_snapshots import sample_app
from tui.app import XaivaApp
from tui.widgets.panel import Panel

__all__ = ["sample_app"]
SMALL = (80, 24)


@pytest.mark.parametrize(("key", "panel"), [("1", "alerts"), ("7", "detail"), ("0", "summary")])
async def test_the_last_line_of_a_panel_is_a_few_keys_away(sample_app: XaivaApp, key: str, panel: str) -> None:
    async with sample_app.run_test(size=SMALL) as pilot:
        await pilot.press(key)
        await until(pilot, lambda: sample_app.screen.is_mounted)
        sample_app.tick()
        view = sample_app.screen.query_one(f"#{panel}", Panel)
        await until(pilot, lambda: view.text)
        await until(pilot, lambda: view.max_scroll_y > 0)
        last = view.text.rstrip().splitlines()[-1].strip()
        assert last not in text(pilot)
        while sample_app.focused is not view:
            before = sample_app.focused
            await pilot.press("tab")
            assert sample_app.focused is not before
        await pilot.press("end")
        await shows(pilot, last)
        assert view.region.bottom < SMALL[1]  # its frame is whole


async def test_arrows_of_the_statistics_change_the_days_also_from_a_panel(sample_app: XaivaApp) -> None:
    async with sample_app.run_test(size=SMALL) as pilot:
        await pilot.press("9")
        await shows(pilot, "Events per day")
        sample_app.tick()
        panel = sample_app.screen.query_one("#days", Panel)
        before = panel.border_title
        await pilot.press("tab", "left")
        await until(pilot, lambda: panel.border_title != before)
        assert "/ Search" not in text(pilot)
