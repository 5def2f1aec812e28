"""The command `xaiva`: the command line, which opens the console when it is given no command."""

import sys

from core.cli import main as run_command_line


def main() -> int:
    """Entry point; returns the exit code."""
    return run_command_line(_open_console)


def _open_console(site_root: str, /, *, service: str, read_only: bool, low_bandwidth: bool) -> int:
    from tui.console import run  # slow, and needed for the console only

    return run(site_root, service=service, read_only=read_only, low_bandwidth=low_bandwidth)


if __name__ == "__main__":
    sys.exit(main())
