"""Every screen and dialog as a picture in both sizes, taken by one console per size.

Each picture is a test of its own, which does not depend on the others.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen

from core.site import Site
from tests.tui import sample
from tests.tui.support import settled, shows, until
from tui.app import XaivaApp
from tui.widgets.log_panel import LogPanel, LogStatus
from tui.widgets.picture_view import PictureView

SIZES = {"160x45": (160, 45), "80x24": (80, 24), "60x20": (60, 20)}
VIEWS: dict[str, tuple[tuple[str, ...], str]] = {  # name → (keys, words that show when it is there)
    "overview": (("1",), "gate-1"),
    "first-steps": (("1", "f"), "Fetch 67 %"),
    "presets": (("2", "down", "down"), "2.9.1+cu130"),
    "suggest": (("2", "u"), "Driver"),
    "delete": (("2", "X"), "Cancel"),
    "lock-preview": (("2", "l"), "looks up"),
    "sync-preview": (("2", "s"), "to fetch"),
    "build-preview": (("2", "b"), "stages"),
    "up": (("2", "U"), "start the container"),
    "launch": (("2", "L"), "ports"),
    "artifacts": (("3", "down"), "Plan"),
    "carry": (("comma", "y"), "SAFE TO REMOVE"),
    "carry-pack": (("comma", "y", "p"), "needs 106 MiB"),
    "builds": (("4", "down"), "1f3a2b"),
    "containers": (("5",), "postgres"),
    "stacks": (("comma", "k", "down", "down"), "Log of xaiva-dubbing"),
    "stack-plan": (("comma", "k", "down", "down", "U"), "the file no longer has"),
    "engine": (("comma", "n"), "4 lines · follows"),
    "clean": (("comma", "n", "c"), "to remove"),
    "cameras": (("6",), "yard"),
    "products": (("comma", "d", "down", "down"), "Inspections of bottle"),
    "rebuild": (("comma", "d", "down", "down", "b"), "job 44 is live"),
    "threshold": (("comma", "d", "down", "down", "t"), "false alarms"),
    "correct-verdict": (("comma", "d", "down", "down", "c"), "is copied to the normal"),
    "inspection": (("comma", "d", "down", "down", "i", "down", "down", "down"), "corrected to normal"),
    "jobs": (("comma", "j", "down", "down"), "4 lines · follows"),
    "queued-job": (("comma", "j"), "waits for 900 MB on cuda:0"),
    "failed-job": (("comma", "j", "down", "down", "down"), "connection refused"),
    "job-filter": (("comma", "j", "f"), "same formats as Since"),
    "operations": (("7",), "sync ubuntu22.04-cuda12.6"),
    "camera-form": (("6", "e"), "Decisions per second"),
    "camera-learn": (("6", "l"), "Minutes"),
    "events": (("8",), "white van"),
    "event-filter": (("8", "f"), "Minimum score"),
    "events-acknowledge": (("8", "A"), "Note"),
    "statistics": (("9",), "By camera"),
    "service": (("0",), "night-shift"),
    "rule-form": (("0", "e"), "DOOR_KEY"),
    "user-form": (("0", "u"), "Password"),
    "login": (("1", "f4"), "Log in"),
    "help": (("2", "question_mark"), "This screen"),
    "go-menu": (("5", "comma"), "watch"),
    "processes": (("comma", "r"), "launched"),
    "process-kill": (("comma", "r", "X"), "Better choose Stop"),
    "settings": (("comma", "g", "end"), "there is no such key"),
    "setting-form": (("comma", "g", "end", "up", "enter"), "operations kept in the ledger"),
}
# Below the smallest supported size: the lines at the top, the menu, and screens whose panels stand side by side.
NARROW_VIEWS = ("containers", "engine", "go-menu", "processes", "process-kill", "settings")
LOGS = {"builds": 5, "containers": 3, "engine": 4, "jobs": 4, "operations": 6, "stacks": 3}  # screen → lines of its log
WITH_PICTURE = ("6", "8")
WITH_PICTURE_OF_ROW = ("products", "inspection")  # of the row that the keys go to
# Dialogs, which the last key opens. Under them no picture gets sharper, and no log is read.
OVER_PICTURE_OF_ROW = ("rebuild", "threshold", "correct-verdict")
OVER_LOG = ("job-filter", "stack-plan")


@contextmanager
def sample_world(site: Site) -> Iterator[None]:
    """Logs for the sample, UTC, pictures that become sharp at once, and no notice about an answer that takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        for name in ("LIVE_SECONDS", "SHARPEN_SECONDS", "CURSOR_REST_SECONDS"):
            patch.setattr(f"tui.widgets.picture_view.{name}", 0.02)
        for name in ("SHARPER_BELOW_SECONDS", "COARSER_ABOVE_SECONDS"):
            patch.setattr(f"tui.picture.rate_control.{name}", 60.0)  # however busy the machine, the picture gets sharp
        patch.setattr("tui.background_work.WAIT_NOTICE_SECONDS", 60.0)
        patch.setattr("tui.store.LATE", 60.0)  # however busy the machine, no value of the sample gets old
        sample.write_logs(site)
        yield
    time.tzset()


@pytest.fixture
def sample_app(bare_site: Site) -> Iterator[XaivaApp]:
    with sample_world(bare_site):
        yield XaivaApp(bare_site, parts=sample.PARTS)


def sharp(pilot: Pilot[int]) -> object:
    """Whether the picture has its full resolution."""
    view = pilot.app.screen.query_one(PictureView)
    return view._arrived and view._rate.sharpest and not view._rate.in_flight and view._next_rendered is None


def log_read(pilot: Pilot[int]) -> bool:
    """Whether the log of the screen is there and counted; threads read it."""
    panel = pilot.app.screen_stack[0].query_one(LogPanel)
    window, count = panel.view._window, LOGS[pilot.app.current_mode]
    status = panel.query_one(LogStatus).text
    return window is not None and window.count == len(window.texts) == count and status == f"{count} lines · follows"


async def go_to(pilot: Pilot[int], view: str) -> None:
    """Press a view's keys and wait until it is complete."""
    keys, words = VIEWS[view]
    for index, key in enumerate(keys):
        if index == len(keys) - 1 and view in OVER_PICTURE_OF_ROW:
            await until(pilot, lambda: sharp(pilot))
        if index == len(keys) - 1 and view in OVER_LOG:
            await until(pilot, lambda: log_read(pilot))
        await pilot.press(key)
        if index == 0:
            await until(pilot, lambda: pilot.app.screen.is_mounted)
        await settled(pilot)
        if index == 0 and key in WITH_PICTURE:
            await until(pilot, lambda: sharp(pilot))
    if view in WITH_PICTURE_OF_ROW:
        await until(pilot, lambda: sharp(pilot))
        pilot.app.tick()  # type: ignore[attr-defined]
    await shows(pilot, words)
    if pilot.app.current_mode in LOGS:
        await until(pilot, lambda: log_read(pilot))
    await pilot.wait_for_scheduled_animations()


async def start_over(app: XaivaApp) -> None:
    """Return to the state after a start: close dialogs and screens."""
    while len(app.screen_stack) > 1:
        await app.pop_screen()
    app.preset = ""
    seen = app.current_mode
    await app.switch_mode("blank")
    await app.remove_mode(seen)
    app.add_mode(seen, app.MODES[seen])


def views_at(size: str) -> list[str]:
    return [view for view in VIEWS if size != "60x20" or view in NARROW_VIEWS]


async def walk(app: XaivaApp, size: str, pictures: dict[str, str | Exception]) -> None:
    """Add a picture, or the error, of every missing view. Raises the error that ends the console."""
    async with app.run_test(size=SIZES[size], tooltips=True, notifications=True) as pilot:
        app.add_mode("blank", Screen)
        for view in [one for one in views_at(size) if one not in pictures]:
            pictures[view] = AssertionError("the console broke down")
            try:
                await go_to(pilot, view)
                pictures[view] = app.export_screenshot(title=app.title, simplify=True)
            except AssertionError as error:
                pictures[view] = error
            await start_over(app)


@pytest.fixture(scope="module")
def pictures_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str | Exception]]:
    """Takes the picture of every view at a size, or the error in its place; each size only once."""

    @functools.cache
    def pictures_at(size: str) -> dict[str, str | Exception]:
        root = tmp_path_factory.mktemp("snapshots") / "site"
        root.mkdir()
        site = Site.open(root, {"DOCKER_HOST": "unix:///nowhere/docker.sock"})
        taken: dict[str, str | Exception] = {}
        with sample_world(site):
            while len(taken) < len(views_at(size)):
                try:
                    asyncio.run(walk(XaivaApp(site, parts=sample.PARTS), size, taken))
                except Exception as error:
                    taken[list(taken)[-1]] = error
        return taken

    return pictures_at


@pytest.mark.parametrize(
    ("size", "view"),
    [
        pytest.param(size, view, id=f"{view}-{size}", marks=pytest.mark.xdist_group(f"snapshots-{size}"))
        for size in SIZES
        for view in views_at(size)
    ],
)
def test_looks_as_before(
    size: str,
    view: str,
    pictures_at: Callable[[str], dict[str, str | Exception]],
    snap_compare: Callable[..., bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture = pictures_at(size)[view]
    if isinstance(picture, Exception):
        raise picture
    monkeypatch.setattr("textual._doc.take_svg_screenshot", lambda **_: picture)  # the plugin would start an app for it
    assert snap_compare(App())
