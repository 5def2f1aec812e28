"""The command line: the same powers as the console, without a screen."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.cli.session import OpenConsole


def main(open_console: OpenConsole | None = None) -> int:
    """Run the command line of this process; returns the exit code. Without a command, `open_console` is called."""
    from core.cli.app import run
    from core.cli.output import print_error
    from core.cli.streams import prepare_streams
    from core.errors import XaivaError

    # httpx imports its own command line, with pygments and half of rich: longer than all the rest of it. Where that one
    # module cannot be imported, it does without.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    try:
        prepare_streams()
    except XaivaError as error:
        print_error(error, as_json=False)
        return error.exit_code
    return run(open_console=open_console)
