"""Writes to disks, whose errors become errors for people."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from core.errors import XaivaError, os_reason
from core.files import disk_error, write_remedy


def write_all(file: BinaryIO, content: bytes) -> None:
    """Write all of it; an unbuffered file may take a part at a time. Raises OSError."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise an XaivaError for an OSError of the block, which writes to `path`."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, path) or XaivaError(f"{path}", os_reason(error), write_remedy(error)) from error
