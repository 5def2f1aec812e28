"""`--reload`: run the service as a child and start it again whenever our source changes (dev mode)."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
STOP_SECONDS = 10


def run_reloading(folder: Path) -> int:
    """Run this command without `--reload`, again after each change of a Python file under `folder`, until it is killed."""
    command = [sys.executable, *(part for part in sys.orig_argv[1:] if part != "--reload")]
    while True:
        seen = _times(folder)
        child = subprocess.Popen(command)
        try:
            while _times(folder) == seen:
                time.sleep(LOOK_SECONDS)
            logger.info("source changed: starting again")
        finally:
            _end(child)


def _times(folder: Path) -> dict[Path, int]:
    times = {}
    for path in folder.rglob("*.py"):
        try:
            times[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue  # an editor replaced it just now
    return times


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
