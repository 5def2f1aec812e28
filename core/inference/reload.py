"""`--reload`: run the service as a child and start it again whenever the source changes (dev mode)."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
STOP_SECONDS = 10


def run_reloading(folders: Sequence[Path]) -> int:
    """Run this command without `--reload`, again whenever a Python file below `folders` changes, until it is killed."""
    command = [sys.executable, *(part for part in sys.orig_argv[1:] if part != "--reload")]
    while True:
        seen = _stamps(folders)
        child = subprocess.Popen(command)
        try:
            while _stamps(folders) == seen:
                time.sleep(LOOK_SECONDS)
            logger.info("the source changed: starting again")
        finally:
            _end(child)


def _stamps(folders: Sequence[Path]) -> dict[str, int]:
    return {path: stamp for folder in folders for path, stamp in _python_files(folder)}


def _python_files(folder: Path) -> Iterator[tuple[str, int]]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        for name in names:
            path = os.path.join(root, name)
            try:
                if name.endswith(".py"):
                    yield path, os.stat(path).st_mtime_ns
            except FileNotFoundError:
                continue  # an editor replaced it just now


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
