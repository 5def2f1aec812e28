"""The clipboard of the user's own terminal, through OSC 52, which also works over SSH."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from core.files import write_atomic

CLIPBOARD_LIMIT = 74_994  # bytes: in base64 and with its frame just under the 100,000 that xterm and others take
_SCREEN_PIECE = 76  # GNU screen takes long strings only in pieces
_TMUX_SECONDS = 2.0


def fits(text: str) -> bool:
    """Whether a clipboard sequence may hold so much text."""
    return len(text.encode()) <= CLIPBOARD_LIMIT


def osc52_sequence(text: str, environ: Mapping[str, str]) -> str:
    """The escape sequence that puts `text` into the clipboard, wrapped for the multiplexer in between."""
    payload = base64.b64encode(text.encode()).decode()
    bare = f"\x1b]52;c;{payload}\x07"
    if environ.get("TMUX"):
        doubled = bare.replace("\x1b", "\x1b\x1b")
        return f"{bare}\x1bPtmux;{doubled}\x1b\\"  # tmux accepts one or the other, depending on its settings
    if environ.get("TERM", "").startswith("screen"):
        pieces = [bare[at : at + _SCREEN_PIECE] for at in range(0, len(bare), _SCREEN_PIECE)]
        return "".join(f"\x1bP{piece}\x1b\\" for piece in pieces)
    return bare


def copy_through_tmux(text: str, environ: Mapping[str, str]) -> bool:
    """Hand `text` to tmux, which passes it on even with its default settings. Blocks for up to two seconds."""
    tmux = shutil.which("tmux", path=environ.get("PATH")) if environ.get("TMUX") else None
    if tmux is None:
        return False
    try:
        command = [tmux, "load-buffer", "-w", "-"]
        completed = subprocess.run(
            command, input=text.encode(), timeout=_TMUX_SECONDS, capture_output=True, env=dict(environ)
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return completed.returncode == 0


def save_to_file(text: str, folder: Path) -> Path:
    """Save a text that is too long for a clipboard to a file in `folder`; returns its path."""
    path = folder / time.strftime("copy-%Y%m%d-%H%M%S.txt")
    write_atomic(path, text, 0o600)
    return path


def copy(app: object, text: str, folder: Path) -> str:
    """Copy `text` the best way available; returns a few words that say where it went. May block inside tmux."""
    if not fits(text):
        return f"too long for a clipboard: saved to {save_to_file(text, folder)}"
    if not copy_through_tmux(text, os.environ):
        app.copy_to_clipboard(text)  # type: ignore[attr-defined]
    return f"{len(text.splitlines())} lines copied" if "\n" in text else "copied"
