"""Turns the errors of a disk that is written into errors for people."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from core.errors import XaivaError, os_reason
from core.files import disk_error, write_remedy


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise an XaivaError for an OSError of the block, which writes to `path`."""
    try:
        yield
    except OSError as error:
        raise disk_error(error) or XaivaError(f"{path}", os_reason(error), write_remedy(error)) from error
