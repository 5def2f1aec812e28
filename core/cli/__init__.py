"""The command line: the same powers as the console, without a screen."""

from __future__ import annotations


def main() -> int:
    """Entry point of the command `xaiva`; returns its exit code."""
    from core.cli.app import run
    from core.cli.output import print_error
    from core.cli.streams import prepare_streams
    from core.errors import XaivaError

    try:
        prepare_streams()
    except XaivaError as error:
        print_error(error, as_json=False)
        return error.exit_code
    return run()
