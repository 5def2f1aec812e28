"""Helpers that wait for a console under test and read its screen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

from tui.screens.base import ALWAYS_ASKED

SECONDS = 30.0  # a deadline for what should come soon, on a machine that may be busy


async def until(pilot: Pilot[int], condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Let the console run until the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never came true; the screen:\n{text(pilot)}"
        await pilot.pause(0.02)
    await pilot.pause()


def text(pilot: Pilot[int]) -> str:
    """The text on the screen."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def shows(pilot: Pilot[int], words: str, seconds: float = SECONDS) -> None:
    """Wait until the screen shows the words."""
    await until(pilot, lambda: words in text(pilot), seconds)


async def settled(pilot: Pilot[int]) -> None:
    """Wait until nothing is under way: keys, first answers of the screen's sources, work that a dialog started."""
    app: Any = pilot.app

    def at_rest() -> bool:
        readings = [app.store.reading(name) for name in (*getattr(app.screen, "SOURCES", ()), *ALWAYS_ASKED)]
        answered = all(reading.age is not None or reading.error is not None for reading in readings)
        works = any(thread.name == "background" for thread in threading.enumerate())
        return answered and not works and app._dispatcher is None

    await until(pilot, at_rest)
    app.tick()
    await pilot.pause()
