"""Which button has the keys can be seen in every dialog, theme and without colour, and no toast covers a field.

It applies to questions, forms, previews and the login, at 80x24 as at 160x45.
"""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets._toast import Toast, ToastRack

from core.site import Site
from tests.tui.bursts import console, open_screen
from tests.tui.support import shows, text, until
from tui.theme import THEME_NAMES

FORMS = {"presets": "nuL", "cameras": "ael", "events": "fAx", "service": "nu"}  # screen → keys that open a form
QUESTIONS = {"presets": "X", "cameras": "sX"}  # and those that open a question


async def test_the_mark_stands_before_the_button_that_has_the_keys_and_toasts_leave_fields_free(site: Site) -> None:
    async with console(site, "overview", (80, 24)) as pilot:
        app: Any = pilot.app
        app._disable_notifications = False  # a test has no toasts otherwise
        for screen, keys in FORMS.items():
            await open_screen(pilot, screen)
            for opens in (*keys, *QUESTIONS.get(screen, ""), "f4"):
                await pilot.press(opens)
                await until(pilot, lambda: len(app.screen_stack) == 2 and app.screen.is_mounted and app.focused)
                for name in ("Button", "#leave, #cancel"):
                    button = app.screen.query(name).last()
                    button.focus()
                    await shows(pilot, f"▸ [ {button.label} ]")
                    assert text(pilot).count("▸ [") == 1, (screen, opens)
                if opens not in QUESTIONS.get(screen, ""):
                    assert not await covered(pilot), (screen, opens, text(pilot))
                await pilot.press("n")  # a button has the keys: n is no, in forms, too
                await until(pilot, lambda: len(app.screen_stack) == 1)


async def covered(pilot: Pilot[int]) -> list[Widget]:
    """The fields and buttons in view that two toasts would cover."""
    app: Any = pilot.app
    app.notify("The first one, with a title of its own", title="First", timeout=600)
    app.notify("The site's login is ben now. This console stays anna; F4 offers ben.", timeout=600)
    await shows(pilot, "F4 offers ben")
    toasts = [toast.region for toast in app.screen.get_child_by_type(ToastRack).query(Toast)]
    boxes = [box for box in app.screen.query("Input, Checkbox, Button") if box.display]
    in_view = {box: app.screen.find_widget(box).visible_region for box in boxes}
    app.clear_notifications()
    return [box for box, region in in_view.items() if region and any(region.overlaps(toast) for toast in toasts)]


async def test_the_mark_stands_in_every_theme(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with console(site, "presets", (80, 24)) as pilot:
        await pilot.press("X")
        for theme in THEME_NAMES:
            await shows(pilot, "▸ [ Cancel ]")
            pilot.app.theme = theme
            await pilot.press("tab")
            await shows(pilot, "▸ [ Delete ]")
            assert "▸ [ Cancel ]" not in text(pilot), theme
            await pilot.press("tab")
