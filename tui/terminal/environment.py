"""The environment variables that must be set before Textual and other libraries are imported."""

from __future__ import annotations

import ctypes
import os
from collections.abc import MutableMapping

from core.errors import InputError

_ALWAYS = {
    "TEXTUAL_ANIMATIONS": "none",
    "TEXTUAL_SMOOTH_SCROLL": "0",  # whole lines: half a cell is useless in a terminal
    # A connection that drops leaves the user's terminal as it is. In Kitty's key mode every later key would be garbage.
    "TEXTUAL_DISABLE_KITTY_KEY": "1",
    "PYDANTIC_DISABLE_PLUGINS": "__all__",  # there are none, and to look for them takes 10 ms of the start
}
_M_ARENA_MAX = -8  # of glibc's mallopt(3)
_FRAMES_OVER_SSH = "30"  # a frame's time also bounds how long a key waits for its paint: 33 ms
_FRAMES_ON_LOW_BANDWIDTH = "10"


def prepare(low_bandwidth: bool = False, environ: MutableMapping[str, str] | None = None) -> None:
    """Set the variables that the user has not set."""
    environ = os.environ if environ is None else environ
    for name, value in _ALWAYS.items():
        environ.setdefault(name, value)
    if low_bandwidth:
        environ.setdefault("TEXTUAL_FPS", _FRAMES_ON_LOW_BANDWIDTH)
    elif environ.get("SSH_CONNECTION"):
        environ.setdefault("TEXTUAL_FPS", _FRAMES_OVER_SSH)


def use_one_heap() -> None:
    """Use one heap for all threads. By default each has its own, and keeps the memory it once used."""
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except (OSError, AttributeError):
        pass  # another C library


def require_terminal() -> None:
    """Raise InputError when there is no terminal to draw on."""
    if not (os.isatty(0) and os.isatty(2)):
        raise InputError(
            "The console needs a terminal",
            "standard input or standard error is not a terminal",
            "run it in a terminal (ssh -t), or use the commands: xaiva --help",
        )
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise InputError(
            "The console needs a terminal that can move its cursor",
            f"TERM is {os.environ.get('TERM', '') or 'not set'}",
            "set TERM (usually xterm-256color), or use the commands: xaiva --help",
        )
