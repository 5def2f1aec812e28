"""The command line as a process of its own."""

from __future__ import annotations

import subprocess
import sys

from core.site import Site


def xaiva(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, as an engineer types it."""
    argv = [sys.executable, "-m", "core.cli", "--site", str(site.root), *words]
    return subprocess.run(argv, env=dict(site.env), capture_output=True, text=True, check=False)
