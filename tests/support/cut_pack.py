"""A pack in a process of its own, which ends a process at one of its steps: itself, or the program behind a medium."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.carry import pack, preparation
from core.errors import XaivaError
from core.progress import NullProgress
from core.site import Site

_STEPS = ("open", "write", "fsync", "fdatasync", "mkdir", "replace", "unlink")
ITSELF = 0


def run_pack(site: Site, medium: Path, preset: str, at: int = -1, process: int = ITSELF) -> tuple[int, str]:
    """Pack without the console; at step `at` end that process. Returns the exit status and what was printed.

    Undisturbed, it prints how many steps there were.
    """
    words = [sys.executable, "-m", __name__, f"{site.root}", f"{medium}", preset, f"{at}", f"{process}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def main(root: str, medium: str, preset: str, at: str, process: str) -> None:
    """The process itself."""
    site, count = Site.open(root), 0

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == int(at):
                os.kill(int(process) or os.getpid(), signal.SIGKILL)
            return real(*arguments, **more)

        return step

    for name in _STEPS:
        setattr(os, name, counting(getattr(os, name)))
    preparation.console_files = lambda _site: []
    try:
        pack.run(site, medium, {"presets": [preset]}, NullProgress())
    except XaivaError as error:
        sys.exit(f"{error}")
    print(count)


if __name__ == "__main__":
    main(*sys.argv[1:])
