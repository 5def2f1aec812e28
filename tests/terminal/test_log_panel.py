"""The log panel as a user handles it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult

from core.log_lines import FileLines, Lines, LineSpool
from tui.theme import TERMINAL_VARIABLES
from tui.widgets.log_lines import fold_line, format_log_line
from tui.widgets.log_panel import LogPanel, LogStatus

ROOT = Path(__file__).parents[2]


class Viewer(App[None]):
    CSS_PATH = ROOT / "tui" / "app.tcss"

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self.lines = lines
        self.copied: list[str] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return TERMINAL_VARIABLES

    def compose(self) -> ComposeResult:
        yield LogPanel(self.lines)

    def on_mount(self) -> None:
        self.query_one(LogPanel).view.focus()

    def on_log_panel_copied(self, message: LogPanel.Copied) -> None:
        self.copied.append(message.text)


def shown(app: App[Any]) -> list[str]:
    """The log's rows as text."""
    view = app.query_one(LogPanel).view
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


def status(app: App[Any]) -> str:
    return app.query_one(LogStatus).text


async def until(pilot: Any, holds: Callable[[], object]) -> None:
    """Wait for what a thread brings about."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, f"never: {shown(pilot.app)} {status(pilot.app)}"
        await pilot.pause(0.01)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {n} {'needle' if n in (100, 3000) else ''}\n" for n in range(5000)))
    return path


async def test_it_opens_at_the_end_and_follows(log: Path) -> None:
    app = Viewer(FileLines(log))
    async with app.run_test(size=(80, 20)) as pilot:
        await until(pilot, lambda: shown(app)[-1] == "line 4999")
        with open(log, "a") as file:
            file.write("the newest\n")
        await until(pilot, lambda: shown(app)[-1] == "the newest")
        await until(pilot, lambda: "5,001 lines" in status(app))
        assert "follows" in status(app)


async def test_scrolling_up_stays_while_lines_come(log: Path) -> None:
    app = Viewer(FileLines(log))
    async with app.run_test(size=(80, 20)) as pilot:
        await until(pilot, lambda: "5,000 lines" in status(app))
        await pilot.press("k", "k")
        await until(pilot, lambda: shown(app)[-1] == "line 4997")
        before = shown(app)
        with open(log, "a") as file:
            file.write("more\n" * 100)
        await until(pilot, lambda: "5,100 lines" in status(app))
        assert shown(app) == before
        await pilot.press("g")
        await until(pilot, lambda: shown(app)[0] == "line 0")
        await pilot.press("j", "pagedown")
        await until(pilot, lambda: shown(app)[0] == f"line {len(before)}")
        await pilot.press("G")
        await until(pilot, lambda: shown(app)[-1] == "more")


async def test_a_key_before_all_lines_are_counted_scrolls_from_the_end(log: Path) -> None:
    lines = FileLines(log)
    update, lines.update = lines.update, lambda: False  # type: ignore[method-assign]
    app = Viewer(lines)
    async with app.run_test(size=(80, 20)) as pilot:
        await until(pilot, lambda: shown(app)[-1] == "line 4999")
        await pilot.press("k", "k")
        assert shown(app)[-1] == "line 4999"
        lines.update = update  # type: ignore[method-assign]
        await until(pilot, lambda: shown(app)[-1] == "line 4997")


async def test_search_forward_backward_and_round(log: Path) -> None:
    app = Viewer(FileLines(log))
    async with app.run_test(size=(80, 20)) as pilot:
        await until(pilot, lambda: "5,000 lines" in status(app))
        await pilot.press("slash", *"need.e", "enter")
        await until(pilot, lambda: "found in line 3,001" in status(app))  # from the end, backwards
        await until(pilot, lambda: "line 3000 needle" in shown(app))
        await pilot.press("N")
        await until(pilot, lambda: "found in line 101" in status(app))
        await pilot.press("N")
        await until(pilot, lambda: "found in line 3,001" in status(app))
        await pilot.press("n")
        await until(pilot, lambda: "found in line 101" in status(app))
        await pilot.press("slash", *"nothing like it", "enter")
        await until(pilot, lambda: "not found" in status(app))
        await pilot.press("slash", "(", "enter")
        assert "not a regular expression" in status(app)


async def test_filter_and_back(log: Path) -> None:
    app = Viewer(FileLines(log))
    async with app.run_test(size=(80, 20)) as pilot:
        await until(pilot, lambda: "5,000 lines" in status(app))
        await pilot.press("ampersand", *"needle", "enter")
        await until(pilot, lambda: "2 of 5,000 match needle" in status(app))
        await until(pilot, lambda: shown(app)[2] == "")
        assert [line for line in shown(app) if line] == ["line 100 needle", "line 3000 needle"]
        await pilot.press("Y")
        await until(pilot, lambda: app.copied)
        assert app.copied == ["line 100 needle\nline 3000 needle"]
        await pilot.press("escape")
        await until(pilot, lambda: shown(app)[-1] == "line 4999")


async def test_long_lines_wrap_or_move_sideways(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("short\n" + "".join(chr(97 + n % 26) for n in range(200)) + "\n日本語" + "語" * 60 + "\nend\n")
    app = Viewer(FileLines(path))
    async with app.run_test(size=(54, 20)) as pilot:
        await until(pilot, lambda: "4 lines" in status(app))
        width = app.query_one(LogPanel).view.size.width
        await pilot.press("right")
        assert shown(app)[1].startswith("abcd")
        await pilot.press("w", "right")
        assert shown(app)[1].startswith("ijkl")
        await pilot.press("left", "w")
        rows = [row for row in shown(app) if row]
        assert "".join(rows[1:-1]).startswith("abcdef")
        assert "".join(rows[1:]).endswith("語" * 60 + "end")
        assert len(rows) == 2 + -(-200 // width) + -(-126 // (width - width % 2))


async def test_dropped_lines_are_counted_and_the_view_stays() -> None:
    spool = LineSpool(limit=20_000)
    spool.add(f"line {n:05d}" for n in range(800))
    app = Viewer(spool)
    async with app.run_test(size=(80, 20)) as pilot:
        await until(pilot, lambda: shown(app)[-1] == "line 00799")
        await pilot.press("k")
        before = shown(app)
        for n in range(800, 2600):
            spool.add([f"line {n:05d}"])
        await until(pilot, lambda: "older lines dropped" in status(app))
        assert shown(app) in (before, spool.read(0, len(before)))


async def test_the_lines_in_view_are_copied_in_full(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("a" * 300 + "\nb\n")
    app = Viewer(FileLines(path))
    async with app.run_test(size=(60, 10)) as pilot:
        await until(pilot, lambda: "2 lines" in status(app))
        await pilot.press("y")
        await pilot.pause()
        assert app.copied == ["a" * 300 + "\nb"]


async def test_a_log_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    app = Viewer(FileLines(tmp_path))  # a folder
    async with app.run_test(size=(60, 10)) as pilot:
        await until(pilot, lambda: "cannot read" in status(app))


class OnHungDisk(FileLines):
    """A log whose disk answers only while `answers` is set."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.answers = threading.Event()
        self.answers.set()

    def update(self) -> bool:
        self.answers.wait()
        return super().update()

    def read(self, start: int, stop: int) -> list[str]:
        self.answers.wait()
        return super().read(start, stop)


async def test_a_disk_that_hangs_holds_up_no_key(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.log"
    other.write_text("another log\n")
    hung = OnHungDisk(log)
    app = Viewer(hung)
    async with app.run_test(size=(80, 20)) as pilot:
        panel = app.query_one(LogPanel)
        try:
            await until(pilot, lambda: "5,000 lines" in status(app) and shown(app)[-1] == "line 4999")
            hung.answers.clear()
            await pilot.press("k", "pageup")
            assert shown(app)[-1] == f"line {4998 - panel.view.size.height + 1}"  # kept ready
            await pilot.press("g")
            await until(pilot, lambda: "waits for the disk" in status(app))
            await pilot.press("Y", "slash", *"line", "enter")
            await until(pilot, lambda: "searching" in status(app))
            hung.answers.set()
            await until(pilot, lambda: shown(app)[0] == "line 0")
            await until(pilot, lambda: app.copied and "waits" not in status(app))
            hung.answers.clear()
            await pilot.press("G")
            await until(pilot, lambda: "waits for the disk" in status(app))
            panel.show(FileLines(other))
            await until(pilot, lambda: shown(app)[0] == "another log")
            panel.show(hung)
            await until(pilot, lambda: "waits for the disk" in status(app))
            assert shown(app)[0] == ""  # not the one before under another name
        finally:
            hung.answers.set()


async def test_paging_through_wrapped_lines_leaves_no_row_out(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"{n:04d}{'.' * (n * 37 % 300)}\n" for n in range(100)))
    app = Viewer(FileLines(path))
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: "100 lines" in status(app) and shown(app)[-1])
        for key, edge in (("pageup", "0000"), ("pagedown", "0099")):
            seen = shown(app)
            while edge not in {row[:4] for row in seen}:
                before = shown(app)
                await pilot.press(key)
                await until(pilot, partial(lambda before: shown(app) != before, before))
                assert set(before) & set(shown(app))  # a page goes on with the row that was last
                seen += shown(app)
            assert {f"{n:04d}" for n in range(100)} <= {row[:4] for row in seen}
        assert app.query_one(LogPanel).view.follow


@pytest.mark.parametrize("direction", ["n", "N"])
async def test_a_match_among_wrapped_lines_is_brought_into_view(tmp_path: Path, direction: str) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"{n:04d}{'.' * 400}{'needle' if n % 50 == 7 else ''}\n" for n in range(400)))
    app = Viewer(FileLines(path))
    async with app.run_test(size=(60, 24)) as pilot:
        await until(pilot, lambda: "400 lines" in status(app) and shown(app)[-1])
        await pilot.press("slash", *"needle", "enter")
        for number in [357, *((7, 57, 107) if direction == "n" else (307, 257, 207))]:
            await until(pilot, lambda number=number: f"found in line {number + 1}" in status(app))
            await until(pilot, lambda number=number: any(row.startswith(f"{number:04d}") for row in shown(app)))
            assert any("needle" in row for row in shown(app))
            await pilot.press(direction)


async def test_what_is_copied_of_wrapped_lines_is_what_is_in_view(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"{n:02d}{'.' * 100}\n" for n in range(50)))
    app = Viewer(FileLines(path))
    async with app.run_test(size=(60, 10)) as pilot:
        await until(pilot, lambda: "50 lines" in status(app) and shown(app)[-1])
        await pilot.press("g")
        await until(pilot, lambda: shown(app)[0].startswith("00"))
        await pilot.press("y")
        await pilot.pause()
        assert [line[:2] for line in app.copied[0].splitlines()] == ["00", "01", "02", "03"]


async def test_times_are_shown_and_hidden_and_a_search_looks_at_what_is_shown() -> None:
    spool = LineSpool()
    spool.add(f"2026-01-31 12:00:{n:02d}\t\tERROR {n}" for n in range(3))
    spool.add(["without a time"])
    app = Viewer(spool)
    async with app.run_test(size=(60, 12)) as pilot:
        await until(pilot, lambda: shown(app)[0] == "2026-01-31 12:00:00 ERROR 0")
        await pilot.press("t")
        assert shown(app)[:4] == ["ERROR 0", "ERROR 1", "ERROR 2", "without a time"]
        await pilot.press("Y")
        await until(pilot, lambda: app.copied == ["ERROR 0\nERROR 1\nERROR 2\nwithout a time"])
        await pilot.press("slash", *"12:00", "enter")
        await until(pilot, lambda: "not found" in status(app))
        await pilot.press("ampersand", *"^ERROR [12]", "enter")
        await until(pilot, lambda: "2 of 4 match" in status(app))
        await pilot.press("t")
        await until(pilot, lambda: shown(app)[0] == "2026-01-31 12:00:01 ERROR 1")
        await pilot.press("slash", *"12:00:02", "enter")
        await until(pilot, lambda: "found in line 2" in status(app))


def test_lines_of_an_operation_are_dressed() -> None:
    line = format_log_line("12:00:01\tlayer-common\tERROR: no matching distribution")
    assert [span.role for span in line] == ["dim", "error"]
    line = format_log_line("12:00:01\tlayer-common\tdone", stamps=False)
    assert [span.text for span in line] == ["layer-common ", "done"]
    assert format_log_line("--:--:--\t\t[99 bytes left out here]")[1].role == "warn"
    rows = fold_line(format_log_line("12:00:01\t\tabcdefghijkl日本語"), 20)
    assert ["".join(span.text for span in row) for row in rows] == ["12:00:01 abcdefghijk", "         l日本語"]
    assert [span.text for span in fold_line(format_log_line("abcdef"), 4) for span in span] == ["abcd", "ef"]
