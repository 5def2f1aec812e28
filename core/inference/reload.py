"""Development: start again when the code changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import core

LOOK_SECONDS = 1.0


def watch_code(changed: Callable[[], None], stop: threading.Event) -> threading.Thread:
    """Call `changed` once when a Python file of ours or below the working folder changes, appears or goes."""
    folders = {Path(core.__file__).parent, Path.cwd()}

    def look() -> None:
        before = _stamps(folders)
        while not stop.wait(LOOK_SECONDS):
            if _stamps(folders) != before:
                changed()
                return

    thread = threading.Thread(target=look, name="watch-code", daemon=True)
    thread.start()
    return thread


def _stamps(folders: set[Path]) -> dict[str, int]:
    return {str(path): stamp for folder in folders for path, stamp in _python_files(folder)}


def _python_files(folder: Path) -> Iterator[tuple[Path, int]]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        for name in names:
            if name.endswith(".py"):
                path = Path(root, name)
                try:
                    yield path, path.stat().st_mtime_ns
                except OSError:
                    continue
