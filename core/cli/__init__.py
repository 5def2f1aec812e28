"""The command line: the same powers as the console, without a screen."""

from __future__ import annotations


def main() -> int:
    """Entry point of the command `xaiva`; returns its exit code."""
    from core.cli.app import run

    return run()
