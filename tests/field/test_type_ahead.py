"""Focus moves later than the next key: what opens a box owns the keys from that moment, whatever is typed ahead.

It applies wherever a key changes who gets the next one: search lines, dialogs, forms, pick lists, confirmations, the
palette, the large picture, other screens, and boxes that are asked for over the network first. A burst below is what
one write of a terminal brings; nothing runs between its keys.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from textual.binding import BindingType
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input

from core.site import Site
from core.site_operations import site_ledger
from tests.field.test_launched_service import Launched, fake_engine, with_engine
from tests.support.pty_session import PtySession
from tests.tui.bursts import LISTS, SHIPPED, burst, console, focused_value, handled, nothing_started, real_console
from tests.tui.sample import SampleService
from tests.tui.support import shows, text, until
from tui.app import XaivaApp
from tui.screens.confirm import Confirm
from tui.screens.start_operation import PREVIEWS
from tui.screens.statistics import StatisticsScreen
from tui.widgets.panel import Formatter, empty_content

ROOT = Path(__file__).parents[2]
WORDS = ["all", "sync", "quick", "lognone", "2X", "bL!"]  # each letter is a hotkey somewhere


@pytest.mark.parametrize("screen", [one for one in LISTS if one != "overview"])
async def test_search_owns_what_follows_it(site: Site, screen: str) -> None:
    async with console(site, screen) as pilot:
        for words in WORDS:
            burst(pilot, f"/{words}")
            await handled(pilot)
            assert focused_value(pilot) == words
            assert (pilot.app.current_mode, len(pilot.app.screen_stack)) == (screen, 1)
            burst(pilot, "escape")
            await handled(pilot)
        assert nothing_started(site)


BOXES = [  # screen, keys that open a box, what is typed into its line in the same burst
    ("presets", ("n",), "sync"),
    ("presets", ("d",), "Lock"),
    ("presets", ("r",), "X2"),
    ("presets", ("c",), "L4 quick"),
    ("presets", ("u",), "bbb"),
    ("presets", (":",), "sync"),
    ("presets", ("\x10",), "build"),  # ctrl+p
    ("presets", ("\x1bOS",), "admin"),  # F4
    ("containers", ("l", "/"), "error"),
    ("containers", ("l", "&"), "lost"),
    ("builds", ("tab", "tab", "/"), "sync"),
    ("operations", ("tab", "tab", "/"), "sync"),
    ("cameras", ("a",), "gate-l1"),
    ("cameras", ("e",), "q2"),
    ("cameras", ("z",), "5"),
    ("events", ("f",), "yard-s"),
    ("events", ("A",), "sync"),
    ("events", ("x",), "Aa"),
    ("service", ("n",), "night-X"),
    ("service", ("u",), "lea"),
    ("service", ("down", "e"), "q"),
]


@pytest.mark.parametrize(("screen", "opens", "words"), BOXES)
async def test_a_box_owns_what_follows_the_key_that_opens_it(
    site: Site, screen: str, opens: tuple[str, ...], words: str
) -> None:
    async with console(site, screen) as pilot:
        burst(pilot, *opens, words)
        await handled(pilot)
        assert focused_value(pilot).endswith(words)
        assert pilot.app.current_mode == screen
        assert nothing_started(site)


@pytest.mark.parametrize("opens", ["/", "n", ":"])
async def test_a_paste_in_a_burst_goes_to_the_box(site: Site, opens: str) -> None:
    async with console(site, "presets") as pilot:
        burst(pilot, f"{opens}a\x1b[200~sync\x1b[201~b")
        await handled(pilot)
        assert focused_value(pilot) == "asyncb"


FORMS = [  # screen, key that opens a form, its first fields
    ("presets", "u", ("gpu", "driver", "name")),
    ("cameras", "a", ("id", "source", "name")),
    ("events", "f", ("camera", "type", "state")),
    ("service", "u", ("name", "password", "role")),
    ("overview", "\x1bOS", ("user", "password")),
]


@pytest.mark.parametrize(("screen", "opens", "fields"), FORMS)
async def test_tab_moves_on_before_the_next_key(site: Site, screen: str, opens: str, fields: tuple[str, ...]) -> None:
    async with console(site, screen) as pilot:
        burst(pilot, opens, "\t".join(f"q{at}" for at in range(len(fields))))
        await handled(pilot)
        found = [box.id for box in pilot.app.screen.query(Input) if not box.disabled][: len(fields)]
        assert [pilot.app.screen.query_one(f"#{name}", Input).value for name in found] == [
            f"q{at}" for at in range(len(fields))
        ]


# -- questions ---------------------------------------------------------------------------------------------------------

ANSWERS = [  # what follows the key that asks, and whether that is a yes
    (("y",), True),
    (("n",), False),
    (("enter",), False),
    (("escape",), False),
    (("tab", "enter"), True),
    (("right", "left", "enter"), False),
]


@pytest.mark.parametrize(("answer", "yes"), ANSWERS)
async def test_a_question_is_answered_by_the_key_after_it_and_the_rest_goes_on_below(
    site: Site, answer: tuple[str, ...], yes: bool
) -> None:
    async with real_console(site) as pilot:
        burst(pilot, "j", "X", *answer, "/sync")
        await handled(pilot)
        path = site.presets / "ubuntu22.04-cuda12.6.json"
        await until(pilot, lambda: path.exists() is not yes)
        assert focused_value(pilot) == "sync"
        assert len(pilot.app.screen_stack) == 1
        assert (site.presets / "cpu-debian12.json").exists()
        assert nothing_started(site)


async def test_no_key_falls_through_a_question(site: Site) -> None:
    async with real_console(site) as pilot:
        burst(pilot, "X", "lsbLq27/")
        await handled(pilot)
        assert isinstance(pilot.app.screen, Confirm)
        await shows(pilot, "▸ [ Cancel ]")
        burst(pilot, "tab")
        await shows(pilot, "▸ [ Delete ]")
        assert "▸ [ Cancel ]" not in text(pilot)


LONG_WORK = [  # screen, key that starts long work, words of its preview
    ("presets", "l", "looks up every file"),
    ("presets", "s", "to fetch"),
    ("presets", "b", "stages"),
    ("presets", "L", "ports"),
    ("artifacts", "l", "looks up every file"),
    ("artifacts", "U", "newest versions"),
    ("artifacts", "s", "to fetch"),
    ("artifacts", "v", "read in full"),
    ("builds", "b", "stages"),
    ("operations", "r", "to fetch"),
    ("cameras", "l", "pictures"),
]


@pytest.mark.parametrize(("screen", "key", "words"), LONG_WORK)
async def test_long_work_shows_what_it_would_do_and_waits_for_enter(
    site: Site, screen: str, key: str, words: str
) -> None:
    async with console(site, screen) as pilot:
        burst(pilot, key, "lsbUvr" if screen != "cameras" else "")
        await handled(pilot)
        await shows(pilot, words)
        assert len(pilot.app.screen_stack) == 2
        burst(pilot, "escape", "2/all")
        await handled(pilot)
        assert focused_value(pilot) == "all"
        assert nothing_started(site)


@pytest.mark.parametrize(("key", "kind"), [("s", "sync"), ("b", "build")])
@pytest.mark.parametrize("answer", ["enter", "y"])
async def test_enter_starts_long_work_before_its_preview_is_there(
    site: Site, key: str, kind: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = threading.Event()

    def never(*_: object) -> Formatter:
        known.wait(60)
        return empty_content

    monkeypatch.setitem(PREVIEWS, kind, never)
    async with real_console(site) as pilot:
        burst(pilot, key, answer, "/all")
        await handled(pilot)
        assert focused_value(pilot) == "all"
        await until(pilot, lambda: [one.kind for one in site_ledger(site).list()] == [kind])
        known.set()
    site_ledger(site).wait(1, 30)


async def test_the_palette_takes_what_was_typed_and_starts_work_without_another_question(site: Site) -> None:
    async with real_console(site) as pilot:
        burst(pilot, ":statistics", "enter")
        await handled(pilot)
        assert pilot.app.current_mode == "statistics"
        burst(pilot, "2:", "presets: sync", "enter", "/all")
        await handled(pilot)
        assert focused_value(pilot) == "all"
        await until(pilot, lambda: [one.kind for one in site_ledger(site).list()] == ["sync"])
    site_ledger(site).wait(1, 30)


# -- whatever else changes later than the next key ---------------------------------------------------------------------


async def test_a_screen_opened_by_its_number_gets_the_next_key(site: Site) -> None:
    async with console(site, "presets") as pilot:
        burst(pilot, "9d8/all")
        await handled(pilot)
        assert pilot.app.current_mode == "events"
        assert focused_value(pilot) == "all"
        burst(pilot, "escape", "9")
        await handled(pilot)
        assert isinstance(pilot.app.screen, StatisticsScreen)
        assert pilot.app.screen._range == 90  # the one after 30


@pytest.mark.parametrize("keys", [("G", "d"), ("j", "d"), ("/", "ubuntu22", "enter", "d")])
async def test_a_key_acts_on_the_row_that_the_keys_before_it_chose(site: Site, keys: tuple[str, ...]) -> None:
    async with real_console(site) as pilot:
        burst(pilot, *keys)
        await handled(pilot)
        assert focused_value(pilot) == "ubuntu22.04-cuda12.6-copy"


async def test_a_click_in_a_burst_counts_for_the_key_after_it(site: Site) -> None:
    async with real_console(site) as pilot:
        rows = text(pilot).splitlines()
        y = next(at for at, row in enumerate(rows, 1) if "ubuntu22.04-cuda12.6" in row)
        burst(pilot, f"\x1b[<0;10;{y}M\x1b[<0;10;{y}md")
        await handled(pilot)
        assert focused_value(pilot) == "ubuntu22.04-cuda12.6-copy"


# -- boxes that something is asked for first ---------------------------------------------------------------------------


@asynccontextmanager
async def slow_settings(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Pilot[int], threading.Event]]:
    """On the screen Cameras; the service tells a camera's settings only when the event is set."""
    told = threading.Event()
    usual = SampleService.camera_settings

    def slow(self: SampleService, camera: str) -> Any:
        told.wait(60)
        return usual(self, camera)

    monkeypatch.setattr(SampleService, "camera_settings", slow)
    async with console(site, "cameras") as pilot:
        yield pilot, told
        told.set()


async def test_a_box_that_comes_late_gets_what_was_typed_for_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with slow_settings(site, monkeypatch) as (pilot, told):
        burst(pilot, "e", "slX")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 1
        told.set()
        await handled(pilot)
        assert focused_value(pilot) == "slX"


@pytest.mark.parametrize("at_once", [True, False])
async def test_escape_leaves_a_box_that_has_not_come_yet(
    site: Site, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    async with slow_settings(site, monkeypatch) as (pilot, told):
        burst(pilot, "e", "slX")
        if not at_once:
            await pilot.pause()
        burst(pilot, "escape", "/all")
        await handled(pilot)
        assert focused_value(pilot) == "all"
        told.set()
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 1


async def test_the_editor_gets_what_was_typed_once_it_has_read_the_file(site: Site) -> None:
    async with real_console(site) as pilot:
        burst(pilot, "e", "-sync", "tab", "debian:12")
        await handled(pilot)
        assert pilot.app.screen.query_one("#f-base", Input).value == "debian:bookworm-slim-sync"
        assert focused_value(pilot) == "debian:12"


@pytest.mark.parametrize("leave", ["escape", "\x11"])  # ctrl+q
async def test_who_saves_and_leaves_in_one_burst_has_saved(site: Site, leave: str) -> None:
    async with real_console(site) as pilot:
        burst(pilot, "e", "-sync", "\x13", leave, "/all")  # ctrl+s
        if leave == "escape":
            await handled(pilot)
            assert focused_value(pilot) == "all"
        else:
            await until(pilot, lambda: pilot.app._exit)
    assert '"debian:bookworm-slim-sync"' in (site.presets / "cpu-debian12.json").read_text()


async def test_the_services_that_are_looked_for_get_what_was_typed(site: Site) -> None:
    shutil.copy(SHIPPED / "cpu-debian12.json", site.presets)
    both = [Launched("xaiva-cpu-debian12", 1), Launched("xaiva-dubbing", 2, "dubbing")]
    with fake_engine(site.root, both) as engine:
        app = XaivaApp(with_engine(site.root, engine))
        async with app.run_test(size=(140, 45)) as pilot:
            await pilot.press("2")
            await shows(pilot, "cpu-debian12")
            burst(pilot, "\x1b[19~", "dub")  # F8
            await handled(pilot)
            assert focused_value(pilot) == "dub"
            burst(pilot, "enter", "/all")
            await handled(pilot)
            assert focused_value(pilot) == "all"
            assert app.site.service == ("xaiva-dubbing", "F8")


class Hanging(ModalScreen[None]):
    """A dialog that finishes opening only when the test allows it."""

    BINDINGS: ClassVar[list[BindingType]] = [("x", "dismiss", "Close")]

    def __init__(self) -> None:
        super().__init__()
        self.allowed = asyncio.Event()

    async def on_mount(self) -> None:
        await self.allowed.wait()


async def test_a_box_that_hangs_while_it_opens_releases_the_keys(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.terminal.input_queue.HANG_SECONDS", 0.05)
    async with console(site, "presets") as pilot:
        hanging = Hanging()
        pilot.app.push_screen(hanging)
        burst(pilot, "lsb")
        await asyncio.sleep(0)
        while pilot.app._dispatcher is not None:  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)  # the queue is done with them, though Textual itself still waits for the box
        hanging.allowed.set()
        await handled(pilot)
        assert nothing_started(site)
        burst(pilot, "x", "/all")
        await handled(pilot)
        assert focused_value(pilot) == "all"


# -- in a terminal -----------------------------------------------------------------------------------------------------


@pytest.mark.terminal
def test_one_write_of_a_terminal(site: Site) -> None:
    shutil.copy(SHIPPED / "cpu-debian12.json", site.presets)
    command = [sys.executable, "-m", "tui", "--site", str(site.root)]
    with PtySession(command, columns=120, rows=40, cwd=ROOT, env={"NO_COLOR": "1"}) as session:
        session.wait_for("Overview")
        session.press("2")
        session.wait_for("CPU only")
        for words in ("sync", "quick", "lognone"):
            session.press(f"/{words}")
            session.wait_for(f"nothing matches “{words}”")
            session.press("\x1b/debian")  # Escape and the next key in one write are two keys
            session.wait_for("cpu-debian12")
            session.press("\x1b")
            session.wait_for(lambda shown: "words to show" not in shown and "/debian" not in shown)
        session.press("X")
        session.wait_for("▸ [ Cancel ]")
        session.press("\t")
        session.wait_for("▸ [ Delete ]")
        session.press("n/sync")
        session.wait_for("nothing matches “sync”")
        session.press("\x1b")
        session.wait_for("cpu-debian12")
        session.press("q")
        assert session.wait_end() == 0
    assert (site.presets / "cpu-debian12.json").exists()
    assert nothing_started(site)
