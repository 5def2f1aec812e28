"""Redirects what libraries and child processes print to a log file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_LIMIT = 1 << 20  # bytes; a larger log starts over


class StdioCapture:
    """Points descriptors 1 and 2 at a file (or nowhere) until `stop()`."""

    def __init__(self, path: Path | None) -> None:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        self._saved = [os.dup(1), os.dup(2)]
        target = _open(path)
        os.dup2(target, 1)
        os.dup2(target, 2)
        os.close(target)

    def stop(self) -> None:
        for number, saved in enumerate(self._saved, 1):
            os.dup2(saved, number)
            os.close(saved)
        self._saved = []


def _open(path: Path | None) -> int:
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            if path.exists() and path.stat().st_size > _LIMIT:
                flags |= os.O_TRUNC
            return os.open(path, flags, 0o600)
        except OSError:
            pass  # the site is read-only
    return os.open(os.devnull, os.O_WRONLY)
