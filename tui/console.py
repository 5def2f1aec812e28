"""Opens the console, called by the command line. Most imports wait until `environment.prepare()` has run."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

from tui.terminal import environment


def run(site_root: Path | str = ".", *, service: str = "", read_only: bool = False, low_bandwidth: bool = False) -> int:
    """Open the console on a site; returns the exit code, if it returns at all.

    Raises InputError when the site cannot be opened or there is no terminal.
    """
    environment.prepare(low_bandwidth)
    gc.disable()  # until the application runs: imports leave no garbage, and to look for it took 50 ms
    from core.redaction.log_format import RedactingFormatter
    from core.site import Site

    site = Site.open(site_root)
    site.service = (service, "--service") if service else None
    environment.require_terminal()
    environment.use_one_heap()
    from tui.app import XaivaApp
    from tui.terminal.incremental_render import run as run_app

    if logging.lastResort is not None:
        logging.lastResort.setFormatter(RedactingFormatter())  # the records go to a file of the site
    app = XaivaApp(site, read_only, low_bandwidth)
    run_app(app)
    return app.return_code or 0
