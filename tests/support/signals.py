"""Signals of the processes that tests start."""

from __future__ import annotations

import signal


def usual_signals() -> None:
    """In a child, before its command: it hears what a terminal sends.

    Under nohup and in the background of a script some signals are ignored, and whatever is started there ignores them.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
