"""Every screen and dialog as a picture, at both sizes, over one sample site."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from core.site import Site
from tests.tui import sample
from tests.tui.support import shows, until
from tui.app import XaivaApp
from tui.widgets.picture import PictureView

SIZES = [(160, 45), (80, 24)]
VIEWS: dict[str, tuple[tuple[str, ...], str]] = {  # name → (keys, words that show when it is there)
    "overview": (("1",), "gate-1"),
    "presets": (("2", "down", "down"), "2.9.1+cu130"),
    "suggest": (("2", "u"), "Driver"),
    "delete": (("2", "X"), "Cancel"),
    "artifacts": (("3", "down"), "Plan"),
    "builds": (("4", "down"), "1f3a2b"),
    "containers": (("5",), "postgres"),
    "cameras": (("6",), "yard"),
    "operations": (("7",), "sync ubuntu22.04-cuda12.6"),
    "camera-form": (("6", "e"), "Decided a second"),
    "camera-learn": (("6", "l"), "Minutes"),
    "events": (("8",), "white van"),
    "event-filter": (("8", "f"), "Score from"),
    "events-acknowledge": (("8", "A"), "Note"),
    "statistics": (("9",), "By camera"),
    "service": (("0",), "night-shift"),
    "rule-form": (("0", "e"), "DOOR_KEY"),
    "user-form": (("0", "u"), "Password"),
    "login": (("1", "f4"), "Log in"),
    "help": (("2", "question_mark"), "This screen"),
}
WITH_LOG = {"4": "5 lines · follows", "5": "3 lines · follows", "7": "6 lines · follows"}  # counted in a thread
WITH_PICTURE = ("6", "8")
Before = Callable[[Pilot[int]], Awaitable[None]]


@pytest.fixture
def sample_app(bare_site: Site, monkeypatch: pytest.MonkeyPatch) -> XaivaApp:
    """A console over the sample site; times in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("tui.app.Sources", sample.SampleSources)
    monkeypatch.setattr("tui.app.Store", sample.SampleStore)
    monkeypatch.setattr("tui.container_log.ContainerLog", sample.SampleLog)
    monkeypatch.setattr("tui.app.TICK", 3600.0)
    monkeypatch.setattr(XaivaApp, "service", sample.SampleService())
    monkeypatch.setattr("tui.screens.statistics.datetime", sample.Afternoon)
    for name in ("EVERY", "SHARPEN", "CALM"):
        monkeypatch.setattr(f"tui.widgets.picture.{name}", 0.02)
    monkeypatch.setattr("tui.picture.pace.QUICK", 60.0)  # however busy this machine is, the picture becomes sharp
    monkeypatch.setattr("tui.picture.pace.SLOW", 60.0)
    monkeypatch.setattr("tui.screens.artifacts.time.time", lambda: sample.NOON + 187)
    sample.write_logs(bare_site)
    return XaivaApp(bare_site)


def sharp(pilot: Pilot[int]) -> object:
    """Whether the picture is as sharp as it gets."""
    view = pilot.app.screen.query_one(PictureView)
    return view._arrived and view._pace.sharpest and not view._pace.in_flight and view._waiting is None


def ready(keys: tuple[str, ...], words: str) -> Before:
    async def run(pilot: Pilot[int]) -> None:
        for index, key in enumerate(keys):
            await pilot.press(key)
            if index == 0:
                await until(pilot, lambda: pilot.app.screen.is_mounted)
                await pilot.pause()
                pilot.app.tick()  # type: ignore[attr-defined]
                await pilot.pause()
                if key in WITH_PICTURE:
                    await until(pilot, lambda: sharp(pilot))
        await shows(pilot, words)
        if keys[0] in WITH_LOG:
            await shows(pilot, WITH_LOG[keys[0]])

    return run


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("view", VIEWS)
def test_looks_as_before(
    view: str, size: tuple[int, int], sample_app: XaivaApp, snap_compare: Callable[..., bool], tmp_path: Path
) -> None:
    keys, words = VIEWS[view]
    assert snap_compare(sample_app, terminal_size=size, run_before=ready(keys, words))
