"""The frame difference shows exactly what Textual itself would have shown, cell by cell, whatever happens."""

from __future__ import annotations

import random
from typing import Any

import pyte
import pytest
from rich.color import ColorSystem
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App, ComposeResult
from textual.containers import Grid, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Input, ProgressBar, Static

from tests.support.terminal_emulator import Screen as EmulatedScreen
from tests.support.terminal_emulator import Stream
from tui.terminal.frame import TerminalFrame
from tui.terminal.incremental_render import IncrementalRender

WORDS = [
    "plain",
    "日本語",
    "naïve",
    "한국어テスト",
    "🚀",
    "ü—x",
    "é",
    "─┤├─",
    "▁▂▅█",
    "a b  c",
    "",
    " " * 12,
    "x" * 30,
]
COLOURS = ["red", "#12ab34", "on blue", "bold", "reverse", "underline", "italic on #203040", "dim", "strike green", ""]


def visible_style(char: Any) -> tuple[Any, ...]:
    """A cell as the eye sees it: on a blank, a foreground shows only where an attribute draws with it."""
    drawn = char.reverse or char.underscore or char.strikethrough
    if char.data == " " and not drawn:
        return (" ", char.bg)
    return (char.data, char.fg, char.bg, char.bold, char.italics, char.underscore, char.strikethrough, char.reverse)


def terminal() -> pyte.Screen:
    """As Textual sets a terminal up: without line wrap."""
    screen = EmulatedScreen(100, 30)
    screen.reset_mode(7, private=True)
    return screen


def cells(screen: pyte.Screen) -> list[list[tuple[Any, ...]]]:
    return [[visible_style(screen.buffer[y][x]) for x in range(screen.columns)] for y in range(screen.lines)]


class Dialog(ModalScreen[None]):
    CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog Static { width: 40; height: 9; border: round red; }
    """

    def compose(self) -> ComposeResult:
        yield Static("really? 本当に？")


class Other(Screen[None]):
    def compose(self) -> ComposeResult:
        yield Input("input 入力")
        yield ProgressBar(total=100)
        yield VerticalScroll(*[Static(f"{n} {WORDS[n % len(WORDS)]}") for n in range(80)], id="long")
        yield Footer()


class Twin(IncrementalRender, App[None]):
    """Draws every update twice: as Textual would, and as we do, into two emulated terminals."""

    CSS = """
    Grid { grid-size: 4; height: 12; }
    Grid Static { height: 3; border: round $primary; }
    DataTable { height: 1fr; }
    """

    def __init__(self, frame: TerminalFrame, colours: ColorSystem = ColorSystem.TRUECOLOR) -> None:
        super().__init__()
        self.console._color_system = colours
        self.frame = frame
        self.stock_screen = terminal()
        self.own_screen = terminal()
        self.compared = 0
        self.bytes = [0, 0]

    def compose(self) -> ComposeResult:
        with Grid():
            for n in range(12):
                yield Static(str(n), id=f"s{n}", markup=False)
        yield DataTable()
        yield Footer()

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        table.add_columns("name", "値", "state")
        for n in range(60):
            table.add_row(f"row {n}", WORDS[n % len(WORDS)], "up")

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if isinstance(renderable, (ChopsUpdate, LayoutUpdate)) and not self._batch_count:
            size = screen._compositor.size
            for screen_copy in (self.stock_screen, self.own_screen):
                if (screen_copy.columns, screen_copy.lines) != (size.width, size.height):
                    screen_copy.resize(size.height, size.width)
            stock_bytes = renderable.render_segments(self.console)
            Stream(self.stock_screen).feed(stock_bytes)
            self._apply_update(screen, renderable)
            own_bytes = self.frame.flush()
            Stream(self.own_screen).feed(own_bytes)
            self.bytes[0] += len(stock_bytes.encode())
            self.bytes[1] += len(own_bytes.encode())
            self.check()
        super()._display(screen, renderable)

    def check(self) -> None:
        for y, (theirs, ours) in enumerate(zip(cells(self.stock_screen), cells(self.own_screen), strict=True)):
            assert theirs == ours, f"row {y} of update {self.compared}"
        self.compared += 1


async def upset(app: Twin, pilot: Any, chance: random.Random) -> None:
    """One random thing that changes the screen."""
    action = chance.randrange(10)
    stack = app.screen_stack
    if action < 4 and not isinstance(app.screen, Other):
        for _ in range(chance.randrange(1, 6)):
            words = " ".join(chance.choices(WORDS, k=3))
            text = f"[{style}]{words}[/]" if (style := chance.choice(COLOURS)) else words
            stack[0].query_one(f"#s{chance.randrange(12)}", Static).update(Content.from_markup(text))
    elif action == 4:
        table = stack[0].query_one(DataTable)
        table.move_cursor(row=chance.randrange(60))
    elif action == 5:
        await (app.pop_screen() if len(stack) > 1 else app.push_screen(Dialog()))
    elif action == 6:
        await (app.pop_screen() if len(stack) > 1 else app.push_screen(Other()))
    elif action == 7:
        await pilot.resize_terminal(chance.randrange(40, 130), chance.randrange(12, 50))
    elif action == 8:
        app.theme = chance.choice(["textual-dark", "textual-light", "ansi-dark", "nord"])
    else:
        await pilot.press(chance.choice(["down", "pagedown", "tab", "up", "a", "end", "home"]))
    await pilot.pause()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("erase_keeps_background", "colours"), [(True, "TRUECOLOR"), (False, "STANDARD")])
async def test_frames_equal_those_of_textual(seed: int, erase_keeps_background: bool, colours: str) -> None:
    app = Twin(TerminalFrame(erase_keeps_background=erase_keeps_background), ColorSystem[colours])
    app.frame.can_repeat = bool(seed % 2)
    chance = random.Random(seed)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        for _ in range(30):
            await upset(app, pilot, chance)
    assert app.compared > 20
    assert app.bytes[1] * 2 < app.bytes[0]


async def test_frames_held_back_end_in_the_newest_state() -> None:
    """While the terminal is busy updates are only folded in; the one frame that follows shows the last of them."""
    app = Twin(TerminalFrame())
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        sent = app.frame.sent_cells
        app.check = lambda: None  # type: ignore[method-assign]
        flush, app.frame.flush = app.frame.flush, lambda: ""  # type: ignore[method-assign]
        for n in range(50):
            app.query_one("#s3", Static).update(f"value {n:03d}")
            await pilot.pause()
        app.frame.flush = flush  # type: ignore[method-assign]
        Stream(app.own_screen).feed(app.frame.flush())
        assert cells(app.own_screen) == cells(app.stock_screen)
        assert app.frame.sent_cells - sent < 20
