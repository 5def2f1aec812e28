"""Bursts of keys for a console under test: what one write of a terminal brings, with nothing running in between."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual import events
from textual._xterm_parser import XTermParser
from textual.pilot import Pilot
from textual.widgets import Input

from core.site import Site
from core.site_operations import site_ledger
from tests.support.pty_session import KEYS
from tests.tui import sample
from tests.tui.support import SECONDS, shows, text, until
from tests.tui.test_snapshots import sample_world
from tui.app import XaivaApp
from tui.navigation import SCREENS

SHIPPED = Path(__file__).parents[2] / "presets"
LISTS = {  # screen → words that show when it is there
    "overview": "gate-1",
    "presets": "cpu-debian12",
    "artifacts": "cpu-debian12",
    "builds": "5 lines · follows",
    "containers": "postgres",
    "cameras": "yard",
    "operations": "sync ubuntu22.04-cuda12.6",
    "events": "white van",
    "service": "night-shift",
}


def burst(pilot: Pilot[int], *tokens: str) -> None:
    """What one write of the terminal brings: texts, and keys of `KEYS`; all of it lies there before any is handled."""
    for token in tokens:
        given = [events.Key("escape", "\x1b")] if token == "escape" else XTermParser().feed(KEYS.get(token, token))
        for event in given:
            pilot.app.post_message(event)


async def handled(pilot: Pilot[int]) -> None:
    """Wait until all keys of a burst were handled."""
    app: Any = pilot.app
    deadline = time.monotonic() + SECONDS
    while app._dispatcher is not None or not app._message_queue.empty():
        assert time.monotonic() < deadline, "keys are left"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def console(site: Site, screen: str, size: tuple[int, int] = (160, 45)) -> AsyncIterator[Pilot[int]]:
    """A console over the sample, on a screen."""
    with sample_world(site):
        app = XaivaApp(site, parts=sample.PARTS)
        async with app.run_test(size=size) as pilot:
            await open_screen(pilot, screen)
            yield pilot


async def open_screen(pilot: Pilot[int], screen: str) -> None:
    """Show a screen of the sample, and wait until its list is there."""
    app: Any = pilot.app
    await pilot.press(*SCREENS[screen].keys)
    await until(pilot, lambda: app.current_mode == screen and app.screen.is_mounted)
    app.tick()
    await shows(pilot, LISTS[screen])


def focused_value(pilot: Pilot[int]) -> str:
    box = pilot.app.focused
    assert isinstance(box, Input), f"{box} has the keys:\n{text(pilot)}"
    return box.value


def nothing_started(site: Site) -> bool:
    return not site_ledger(site).list()


@asynccontextmanager
async def real_console(site: Site) -> AsyncIterator[Pilot[int]]:
    """A console over a site with two presets, on the screen Presets."""
    for name in ("cpu-debian12", "ubuntu22.04-cuda12.6"):
        shutil.copy(SHIPPED / f"{name}.json", site.presets)
    app = XaivaApp(site)
    async with app.run_test(size=(160, 45)) as pilot:
        await pilot.press("2")
        await shows(pilot, "ubuntu22.04-cuda12.6")
        yield pilot
