"""The clipboard: plain OSC 52, wrapped for screen and tmux, through a real tmux, and what is too long."""

from __future__ import annotations

import base64
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support import require
from tui.terminal import clipboard


def test_a_plain_terminal_gets_osc_52() -> None:
    assert (
        clipboard.osc52_sequence("héllo", {"TERM": "xterm"})
        == f"\x1b]52;c;{base64.b64encode('héllo'.encode()).decode()}\x07"
    )


def test_screen_gets_pieces_it_can_take() -> None:
    wrapped = clipboard.osc52_sequence("x" * 500, {"TERM": "screen-256color"})
    pieces = wrapped.split("\x1b\\")[:-1]
    assert all(piece.startswith("\x1bP") and len(piece) <= 78 for piece in pieces)
    assert "".join(piece[2:] for piece in pieces) == clipboard.osc52_sequence("x" * 500, {"TERM": "xterm"})


def test_tmux_gets_it_bare_and_passed_through() -> None:
    sent = clipboard.osc52_sequence("x", {"TERM": "screen", "TMUX": "/tmp/tmux,1,0"})
    bare = clipboard.osc52_sequence("x", {"TERM": "xterm"})
    assert sent == bare + "\x1bPtmux;" + bare.replace("\x1b", "\x1b\x1b") + "\x1b\\"


def test_what_is_too_long_for_terminals_is_saved_to_a_private_file(tmp_path: Path) -> None:
    copied: list[str] = []
    app = SimpleNamespace(copy_to_clipboard=copied.append)
    assert clipboard.copy(app, "x" * clipboard.CLIPBOARD_LIMIT, tmp_path) == "copied"
    message = clipboard.copy(app, "é" * clipboard.CLIPBOARD_LIMIT, tmp_path / "clips")
    (saved,) = (tmp_path / "clips").iterdir()
    assert str(saved) in message
    assert saved.read_text() == "é" * clipboard.CLIPBOARD_LIMIT
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert len(copied) == 1


@pytest.fixture
def tmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A tmux server of our own; the environment of a program inside it."""
    require(shutil.which("tmux") is not None, "tmux is not installed")
    monkeypatch.chdir(tmp_path)
    socket = "tmux"  # from there: the path of a socket has 107 bytes at most
    base = ["tmux", "-S", socket, "-f", os.devnull]
    subprocess.run([*base, "new-session", "-d", "sleep 60"], check=True)
    yield {**os.environ, "TMUX": f"{socket},0,0", "TERM": "screen"}
    subprocess.run([*base, "kill-server"], check=True)


@pytest.mark.terminal
def test_tmux_takes_it_with_its_default_settings(tmux: dict[str, str]) -> None:
    assert clipboard.copy_through_tmux("from a session\n", tmux)
    shown = subprocess.run(["tmux", "show-buffer"], env=tmux, capture_output=True, text=True, check=True)
    assert shown.stdout == "from a session\n"


def test_without_tmux_nothing_is_tried() -> None:
    assert not clipboard.copy_through_tmux("x", {"PATH": os.environ["PATH"]})
    assert not clipboard.copy_through_tmux("x", {"TMUX": "/nowhere,0,0", "PATH": ""})
