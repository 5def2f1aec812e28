"""The command line: the same powers as the console, without a screen."""

from __future__ import annotations

import io
import sys


def main() -> int:
    """Entry point of the command `xaiva`; returns its exit code."""
    from core.cli.app import run

    if isinstance(sys.stdout, io.TextIOWrapper):  # what a terminal cannot show, or a name that is no text, is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    return run()
