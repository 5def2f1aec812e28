"""Helpers that wait for a console under test and read its screen."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.pilot import Pilot

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
