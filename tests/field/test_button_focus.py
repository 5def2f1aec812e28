"""Which button has the keys can be seen in every dialog, theme and without colour, and no toast covers a field.

It applies to questions, forms, previews and the login, at 80x24 as at 160x45.
"""

from __future__ import annotations

from typing import Any

import pytest
from textual.widgets._toast import Toast, ToastRack

from core.site import Site
from tests.field.test_type_ahead import console
from tests.tui.support import shows, text, until
from tui.theme import CHOICES

DIALOGS = {  # screen → keys that open a dialog with buttons
    "presets": ("n", "u", "X", "l", "L", "f4"),
    "cameras": ("a", "s", "X", "l"),
    "events": ("f", "A", "x"),
    "service": ("n", "u"),
}


@pytest.mark.parametrize("screen", DIALOGS)
async def test_a_mark_stands_before_the_button_that_has_the_keys(site: Site, screen: str) -> None:
    async with console(site, screen, (80, 24)) as pilot:
        app = pilot.app
        for opens in DIALOGS[screen]:
            await pilot.press(opens)
            await until(pilot, lambda: len(app.screen_stack) == 2 and app.screen.is_mounted and app.focused)
            for name in ("Button", "#leave, #cancel"):
                button = app.screen.query(name).last()
                button.focus()
                await shows(pilot, f"▸ [ {button.label} ]")  # type: ignore[attr-defined]
                assert text(pilot).count("▸ [") == 1, opens
            await pilot.press("n")  # a button has the keys: n is no, in forms, too
            await until(pilot, lambda: len(app.screen_stack) == 1)


FORMS = {"presets": ("n", "u", "L", "f4"), "cameras": ("a", "e", "l"), "events": ("f", "A", "x"), "service": ("n", "u")}


@pytest.mark.parametrize("screen", FORMS)
async def test_toasts_leave_the_fields_of_a_form_free(site: Site, screen: str) -> None:
    async with console(site, screen, (80, 24)) as pilot:
        app: Any = pilot.app
        app._disable_notifications = False  # a test has no toasts otherwise
        for opens in FORMS[screen]:
            await pilot.press(opens)
            await until(pilot, lambda: len(app.screen_stack) == 2 and app.screen.is_mounted and app.focused)
            app.notify("The first one, with a title of its own", title="First", timeout=600)
            app.notify("The site's login is ben now. This console stays anna; F4 offers ben.", timeout=600)
            await shows(pilot, "F4 offers ben")
            toasts = [toast.region for toast in app.screen.get_child_by_type(ToastRack).query(Toast)]
            boxes = app.screen.query("Input, Checkbox, Button")
            taken = [box for box in boxes if any(box.region.overlaps(toast) for toast in toasts)]
            assert not taken, text(pilot)
            app.clear_notifications()
            await pilot.press("escape")
            await until(pilot, lambda: len(app.screen_stack) == 1)


@pytest.mark.parametrize("theme", CHOICES)
async def test_the_mark_stands_in_every_theme(site: Site, theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with console(site, "presets", (80, 24)) as pilot:
        await pilot.press("X")
        await shows(pilot, "▸ [ Cancel ]")
        pilot.app.theme = theme
        await pilot.press("tab")
        await shows(pilot, "▸ [ Delete ]")
        assert "▸ [ Cancel ]" not in text(pilot)
