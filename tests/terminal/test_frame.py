"""The shortest bytes from one frame to the next."""

from __future__ import annotations

import pytest

from tests.support.terminal_emulator import Screen, Stream
from tui.terminal.frame import TerminalFrame
from tui.terminal.sgr import DEFAULT_STYLE, parse_blank_sgr, parse_sgr, style_change

WHITE_ON_BLUE = "38;2;255;255;255;48;2;0;0;255"


class Shown:
    """A frame and an emulated terminal that shows it."""

    def __init__(self, width: int = 60, height: int = 4) -> None:
        self.frame = TerminalFrame()
        self.frame.resize(width, height)
        self.screen = Screen(width, height)
        self.screen.reset_mode(7, private=True)
        self.flush()

    def put(self, x: int, y: int, text: str, codes: str = "") -> str:
        self.frame.set_text(x, y, text, codes)
        return self.flush()

    def flush(self) -> str:
        sent = self.frame.flush()
        Stream(self.screen).feed(sent)
        return sent


def test_one_cell_costs_a_move_and_itself() -> None:
    shown = Shown()
    shown.put(0, 0, "count 10000 of many")
    assert shown.put(0, 0, "count 10001 of many") == "\x1b[9D1"
    assert shown.put(0, 0, "count 10001 of many") == ""


def test_a_style_is_sent_only_where_it_changes() -> None:
    shown = Shown()
    assert shown.put(0, 0, "ab", WHITE_ON_BLUE) == f"\x1b[{WHITE_ON_BLUE}m\x1b7ab"  # and saved: it may come again
    assert shown.put(2, 0, "cd", WHITE_ON_BLUE) == "cd"
    assert shown.put(4, 0, "ef", "1;" + WHITE_ON_BLUE) == "\x1b[1mef"


def test_a_style_that_comes_again_is_brought_back_not_named() -> None:
    shown = Shown()
    shown.put(0, 0, "a", WHITE_ON_BLUE)
    shown.put(5, 1, "b", "38;2;1;2;3")
    assert len(shown.put(9, 2, "c", WHITE_ON_BLUE)) < 12
    cell = shown.screen.buffer[2][9]
    assert (cell.data, cell.fg, cell.bg) == ("c", "ffffff", "0000ff")
    shown.frame.invalidate()
    assert "\x1b8" not in shown.flush().partition("\x1b7")[0]  # after a clear nothing is known to be saved


def test_what_a_picture_saved_is_not_taken_for_ours() -> None:
    shown = Shown()
    shown.put(0, 0, "a", WHITE_ON_BLUE)
    shown.put(5, 1, "b", "38;2;1;2;3")
    Stream(shown.screen).feed("\x1b7\x1b[3;3Hpicture\x1b8")
    shown.frame.forget_saved_style()
    assert "\x1b8" not in shown.put(9, 3, "c", WHITE_ON_BLUE)
    cell = shown.screen.buffer[3][9]
    assert (cell.data, cell.fg, cell.bg) == ("c", "ffffff", "0000ff")


def test_the_nearest_change_comes_first() -> None:
    """A column of figures is walked down, and back on the other side: each move is shorter than an absolute one."""
    shown = Shown(60, 12)
    for y in range(0, 12, 3):
        shown.frame.set_text(20, y, "1", "")
        shown.frame.set_text(50, y, "2", "")
    assert len(shown.flush()) < 8 * 6.5


def test_a_run_of_blanks_is_erased_at_one_stroke() -> None:
    shown = Shown()
    assert len(shown.put(0, 1, " " * 60, "44")) < 20
    assert {shown.screen.buffer[1][x].bg for x in range(60)} == {"blue"}
    shown.put(0, 2, "left" + "x" * 30 + "right", "44")
    assert len(shown.put(4, 2, " " * 30, "44")) < 20
    assert shown.screen.display[2].rstrip() == "left" + " " * 30 + "right"


def test_a_graph_that_moves_on_costs_a_delete_and_an_insert() -> None:
    shown = Shown()
    graph = "▁▂▃▄▅▆▇█▇▆▅▄▃▂▁▂▃▄▅▆▇█▇▆▅▄▃▂▁▂"
    shown.put(0, 1, f"cpu {graph} 12 %")
    sent = shown.put(0, 1, f"cpu {graph[1:]}▃ 12 %")
    assert len(sent.encode()) < 30
    assert shown.screen.display[1].rstrip() == f"cpu {graph[1:]}▃ 12 %"


@pytest.mark.parametrize("emoji", ["👩‍🚀", "❤️", "🚀"])
def test_after_a_doubtful_width_the_cursor_is_placed_anew(emoji: str) -> None:
    shown = Shown()
    assert "\x1b[" in shown.put(0, 0, f"{emoji}x").split(emoji)[1]


def test_control_characters_never_reach_the_terminal() -> None:
    shown = Shown()
    assert shown.put(0, 0, "a\x1b[31mb\x07c\td\ne\x9bf") == "a[31mbcdef"


def test_what_lies_outside_is_cut() -> None:
    shown = Shown(10, 2)
    shown.put(7, 0, "abcdef")
    shown.put(-2, 1, "abcdef")
    shown.put(0, 9, "nowhere")
    assert shown.screen.display == ["       abc", "cdef      "]


def test_the_way_between_two_looks() -> None:
    red, bold_red = parse_sgr("31"), parse_sgr("1;31")
    assert style_change(DEFAULT_STYLE, red)[0] == "\x1b[31m"
    assert style_change(red, bold_red)[0] == "\x1b[1m"
    assert style_change(bold_red, red)[0] == "\x1b[22m"
    assert style_change(bold_red, DEFAULT_STYLE)[0] == "\x1b[m"
    assert style_change(parse_sgr("1;2;31"), parse_sgr("2;31"))[0] in ("\x1b[22;2m", "\x1b[0;2;31m")
    assert style_change(bold_red, parse_blank_sgr("32"))[0] == ""  # nobody sees a blank's foreground
    assert style_change(parse_sgr("4;31"), parse_blank_sgr(""))[0] != ""  # but an underline shows


def test_a_line_is_repeated_by_a_terminal_that_can() -> None:
    shown = Shown()
    sent = shown.put(0, 1, "─" * 40)
    assert "─" * 40 in sent
    shown.frame.can_repeat = True
    assert "─\x1b[39b" in shown.put(0, 2, "─" * 40)
    assert shown.screen.display[2] == shown.screen.display[1]
    assert "\x1b[3b" not in shown.put(0, 3, "aaaa")  # four bytes either way
    shown.put(20, 0, "═" * 40 + "x")  # to the last column, where only an absolute move is safe
    shown.put(0, 3, "end")
    assert [line.rstrip() for line in shown.screen.display] == [" " * 20 + "═" * 40, "─" * 40, "─" * 40, "enda"]


def test_a_large_frame_goes_out_style_by_style_where_that_is_shorter() -> None:
    shown = Shown(80, 24)
    for y in range(24):
        for x in range(0, 80, 8):
            shown.frame.set_text(x, y, "│", "38;2;52;64;74")
            shown.frame.set_text(x + 1, y, f"{x:03d}{y:03d}", "38;2;215;220;224")
    sent = shown.flush()
    assert sent.count("\x1b[38;2;52;64;74m") == 1
    assert shown.screen.display[7] == "".join(f"│{x:03d}007 " for x in range(0, 80, 8))
