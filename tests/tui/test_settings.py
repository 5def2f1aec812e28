"""The Settings screen: a real `site.toml`, changed key by key."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from core.site import Site
from core.site_settings import set_setting
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.screens.confirm import Confirm
from tui.screens.setting_form import SettingForm
from tui.screens.settings import SettingsScreen
from tui.widgets.choice_list import ChoiceList

WRITTEN = "[sync]\n# a slow line\nretries = 9\n"


async def on_key(pilot: Pilot[int], key: str) -> None:
    """Open the screen and move to a key."""
    await pilot.app.switch_mode("settings")
    await until(pilot, lambda: isinstance(pilot.app.screen, SettingsScreen) and pilot.app.screen.is_mounted)
    await shows(pilot, "engine.context")
    pilot.app.screen.query_one("#choices", ChoiceList).move_cursor_to(key)


@pytest.mark.parametrize("size", [(160, 45), (80, 24)])
async def test_a_value_is_checked_and_written_and_taken_over(bare_site: Site, size: tuple[int, int]) -> None:
    path = bare_site.root / "site.toml"
    path.write_text(WRITTEN)
    app = XaivaApp(bare_site)
    async with app.run_test(size=size) as pilot:
        await on_key(pilot, "sync.retries")
        await shows(pilot, "from 0 to 50")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, SettingForm))
        app.screen.query_one(Input).value = "51"
        await pilot.press("enter")
        await shows(pilot, "51")
        await until(pilot, lambda: not app.screen.busy)  # type: ignore[attr-defined]
        assert path.read_text() == WRITTEN
        app.screen.query_one(Input).value = "7"
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, SettingForm))
        assert path.read_text() == WRITTEN.replace("9", "7")
        await until(pilot, lambda: bare_site.settings.sync.retries == 7)
        await pilot.press("X")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: "retries" not in path.read_text())
        await until(pilot, lambda: bare_site.settings.sync.retries == 6)


async def test_what_somebody_else_wrote_is_named_before_it_is_overwritten(bare_site: Site) -> None:
    path = bare_site.root / "site.toml"
    path.write_text(WRITTEN)
    app = XaivaApp(bare_site)
    async with app.run_test(size=(160, 45)) as pilot:
        await on_key(pilot, "sync.retries")
        await shows(pilot, "line 3")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, SettingForm))
        set_setting(bare_site.root, "sync.retries", "4")
        app.screen.query_one(Input).value = "7"
        await pilot.press("enter")
        await shows(pilot, "it is 4 in the file now")
        assert "retries = 4" in path.read_text()
        await until(pilot, lambda: not app.screen.busy)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: "retries = 7" in path.read_text())


async def test_a_broken_file_shows_its_lines_and_secrets_are_not_shown(bare_site: Site) -> None:
    (bare_site.root / ".env").write_text("ACME_TOKEN=hunter2hunter2\n")
    (bare_site.root / "site.toml").write_text(WRITTEN + "retrys = 3\n")
    app = XaivaApp(bare_site, read_only=True)
    async with app.run_test(size=(160, 45)) as pilot:
        await on_key(pilot, "sync.retrys")
        await shows(pilot, "line 4: sync.retrys: there is no such key")
        await shows(pilot, "ACME_TOKEN")
        assert "hunter2" not in text(pilot)
        for key in ("enter", "e", "X"):  # a read-only console offers neither
            await pilot.press(key)
            assert isinstance(app.screen, SettingsScreen)
        (bare_site.root / "site.toml").write_text("name = \n")
        await shows(pilot, "not valid TOML")
