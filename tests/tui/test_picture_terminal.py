"""Pictures on a real pseudo-terminal that answers as kitty, as a sixel terminal, as a plain one, or not at all."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest

from tests.support.pty_session import PtySession, _emulated

pytestmark = pytest.mark.terminal
ROOT = Path(__file__).parents[2]
PROBE = re.compile(rb"\x1b_Gi=31,[^\x1b]*\x1b\\|\x1b\[16t|\x1b\[c")
GRAPHICS = re.compile(rb"\x1b[_P][^\x1b]*\x1b\\")
BEGUN = re.compile(rb"\x1b(?:[_P][^\x1b]*\x1b?)?$")
PLACED = re.compile(rb"\x1b7\x1b\[(\d+);(\d+)H\x1b_Ga=T[^;]*,i=(\d+),[^;]*,c=(\d+),r=(\d+)")
DELETED = re.compile(rb"\x1b_Ga=d,d=I,i=(\d+)")
SIXEL = re.compile(rb'\x1b7\x1b\[(\d+);(\d+)H\x1bP0;1;0q"1;1;(\d+);(\d+)')


class GraphicsTerminal(PtySession):
    """A terminal with graphics: `kind` kitty, sixel or none."""

    def __init__(self, kind: str, *words: str, env: dict[str, str] | None = None, **more: float) -> None:
        self.kind = kind
        self._cut = b""  # graphics that have not come as a whole
        command = [sys.executable, "-m", "tests.tui.picture_app", *words]
        super().__init__(command, columns=80, rows=24, cwd=ROOT, env=env or {}, **more)  # type: ignore[arg-type]

    def _answer(self, data: bytes) -> None:
        for match in PROBE.finditer(data):
            if match[0].startswith(b"\x1b_"):
                reply = b"\x1b_Gi=31;OK\x1b\\" if self.kind == "kitty" else b""
            elif match[0] == b"\x1b[16t":
                reply = b"\x1b[6;16;8t" if self.kind != "none" else b""
            else:
                reply = b"\x1b[?62;4;22c" if self.kind == "sixel" else b"\x1b[?62;22c"
            os.write(self._master, reply)
        super()._answer(data)

    def feed(self) -> pyte.Screen:
        """Without graphics: the emulator would take them for text."""
        with self._lock:
            fresh, self._fed = self.chunks[self._fed :], len(self.chunks)
        stream = self._cut + b"".join(data for _, data in fresh)
        whole = GRAPHICS.sub(b"", stream)
        begun = BEGUN.search(whole)
        self._cut = whole[begun.start() :] if begun else b""
        self._stream.feed(_emulated(whole[: begun.start()] if begun else whole))
        return self.screen


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_kitty_gets_its_pictures_in_place_one_after_the_other() -> None:
    with GraphicsTerminal("kitty", "live") as session:
        until(lambda: len(PLACED.findall(session.sent)) >= 3)
        places = PLACED.findall(session.sent)
        assert {place[:2] + place[3:] for place in places} == {places[0][:2] + places[0][3:]}
        numbers = [place[2] for place in places]
        assert len(set(numbers)) == len(numbers)
        assert set(numbers[:-2]) <= set(DELETED.findall(session.sent))  # the old one goes when the new one is there
        assert "▀" not in session.text
        assert "no key" in session.text  # no answer was taken for a key
        session.press("q")
        session.wait_end()


def test_a_dialog_takes_the_picture_away_and_its_end_brings_it_back() -> None:
    with GraphicsTerminal("kitty") as session:
        until(lambda: b"s=240," in session.sent)  # as sharp as it gets
        session.wait_quiet()
        before = len(session.sent)
        newest = PLACED.findall(session.sent)[-1][2]
        session.press("d")
        session.wait_for("a dialog")
        until(lambda: newest in DELETED.findall(session.sent[before:]))
        assert not PLACED.search(session.sent[before:])
        session.press("escape")
        until(lambda: PLACED.search(session.sent[before:]))


def test_a_still_picture_gets_sharper_and_then_costs_nothing() -> None:
    with GraphicsTerminal("kitty") as session:
        until(lambda: b"s=240," in session.sent)
        session.wait_quiet(1.5)
        before = session.count
        session.wait_quiet(2.5, timeout=6)
        assert session.count == before


def test_a_screen_drawn_anew_gets_its_picture_again() -> None:
    with GraphicsTerminal("kitty") as session:
        until(lambda: b"s=240," in session.sent)
        session.wait_quiet()
        before = len(session.sent)
        session.resize(70, 24)
        until(lambda: PLACED.search(session.sent[before:]))


def test_a_view_that_has_shrunk_gets_a_picture_that_fits() -> None:
    with GraphicsTerminal("kitty") as session:
        until(lambda: b"s=240," in session.sent)
        session.wait_quiet()
        before = len(session.sent)
        session.press("s")
        until(lambda: PLACED.search(session.sent[before:]))
        assert all(int(columns) <= 28 for *_, columns, _ in PLACED.findall(session.sent[before:]))


def test_sixel_is_drawn_in_place_and_wiped_when_it_goes() -> None:
    with GraphicsTerminal("sixel") as session:
        until(lambda: SIXEL.search(session.sent))
        row, _, width, height = (int(value) for value in SIXEL.findall(session.sent)[0])
        assert width <= 58 * 8
        assert row - 1 + height / 16 <= 23
        session.wait_quiet()
        before = len(session.sent)
        session.press("w")
        session.wait_for("nothing to see")
        session.wait_quiet()
        wiped = session.sent[before:]
        erased = sum(int(number) for number in re.findall(rb"\x1b\[(\d+)X", wiped))
        assert erased + wiped.count(b" ") >= 50 * 16  # the cells below are drawn again


@pytest.mark.parametrize("answers", [True, False])
def test_any_other_terminal_gets_half_blocks(answers: bool) -> None:
    with GraphicsTerminal("none", answers=answers) as session:  # type: ignore[arg-type]
        session.wait_for("▀▀▀▀")
        assert not PLACED.search(session.sent)
        assert not SIXEL.search(session.sent)
        assert "no key" in session.text


def test_inside_tmux_kitty_is_not_asked_about() -> None:
    with GraphicsTerminal("kitty", env={"TMUX": "/tmp/none,1,0", "TERM": "tmux-256color"}) as session:
        session.wait_for("▀▀▀▀")
        assert b"\x1b_" not in session.sent


def test_a_thin_line_carries_keys_while_pictures_come() -> None:
    with GraphicsTerminal("kitty", "live", bits_per_second=64_000) as session:
        until(lambda: len(PLACED.findall(session.sent)) >= 2, 30)
        waits = []
        for key in "abcefgh":
            begun = time.monotonic()
            session.press(key)
            session.wait_for(f"key {key}")
            waits.append(time.monotonic() - begun)
        assert b"s=160," not in session.sent  # 30 kB a picture would hold the line for four seconds
        assert max(waits) < 5  # seconds: nothing piles up
