"""Output files that are written whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from core.errors import InputError, os_reason
from core.files import replace_atomically, write_remedy


@contextlib.contextmanager
def open_output_file(target: Path) -> Iterator[BinaryIO]:
    """A file that replaces `target` if the block succeeds. Raises InputError if it cannot be written."""
    try:
        with replace_atomically(target) as file:
            yield file
    except OSError as error:
        why = os_reason(error)
        raise InputError(
            f"{target}", f"it cannot be written: {why}", f"{write_remedy(error)}, or name another file"
        ) from error
