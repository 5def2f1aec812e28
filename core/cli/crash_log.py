"""Writes the traceback of an unexpected error to a file in the site, never to the screen."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from core.redaction import add_secrets, redact_arguments, redact_text

MAX_LOG_BYTES = 1 << 20  # a longer file is overwritten


def write_crash_log(error: Exception, words: Sequence[str]) -> Path | None:
    """Append the traceback to the site's `.xaiva/errors.log`, or else to a temporary file. None if neither works."""
    site = Path(words[words.index("--site") + 1]) if "--site" in words[:-1] else Path()
    text = "".join(traceback.format_exception(error))
    add_secrets(os.environ)
    command = shlex.join(redact_arguments(words))
    entry = redact_text(f"{time.strftime('%Y-%m-%d %H:%M:%S')} xaiva {command}\n{text}\n")
    for folder in (site / ".xaiva", Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            path = folder / ("errors.log" if folder.name == ".xaiva" else f"xaiva-errors-{os.getuid()}.log")
            if folder.name == ".xaiva" and site.is_dir():
                folder.mkdir(exist_ok=True)
            grown = path.exists() and path.stat().st_size > MAX_LOG_BYTES
            with open(path, "w" if grown else "a", errors="backslashreplace", opener=_open_private) as file:
                file.write(entry)
            return path.resolve()
    return None


def _open_private(path: str, flags: int) -> int:
    """Open a file that only its owner can read, and refuse a planted link in the temporary folder."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
