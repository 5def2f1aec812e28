"""Checks that a file is what its name promises, and recognises a pointer, a login page or an error response instead."""

from __future__ import annotations

import os
from pathlib import Path

from core.content.formats import check_format
from core.content.placeholders import HEAD_BYTES, POINTER_LIMIT, Placeholder, recognise, recognise_pointer
from core.errors import XaivaError

__all__ = [
    "HEAD_BYTES",
    "POINTER_LIMIT",
    "Placeholder",
    "WrongContent",
    "check_content",
    "find_wrong_content",
    "recognise",
    "recognise_pointer",
    "wrong_content_error",
]


class WrongContent(XaivaError):
    """A file contains something else than its name promises, whether or not its checksum matches."""


def find_wrong_content(path: Path, name: str = "") -> Placeholder | None:
    """What the file at `path` contains instead of what `name` promises (default: its own name); None when it fits.

    Reports only content that is recognised as something else, or that does not open as what the suffix claims. Raises
    OSError when the file cannot be read.
    """
    name = name or path.name
    if path.is_symlink() and not path.exists():
        return recognise_pointer(os.readlink(path).encode(errors="replace"))  # git-annex has not fetched the content
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    return recognise(head, size, name) or check_format(path, size, name)


def check_content(path: Path, name: str, origin: str = "") -> None:
    """Raise WrongContent when the file at `path` is not what `name` promises. `origin` is its URL, "" for a local file.

    Raises OSError when it cannot be read.
    """
    placeholder = find_wrong_content(path, name)
    if placeholder is not None:
        raise wrong_content_error(name, placeholder, origin)


def wrong_content_error(name: str, placeholder: Placeholder, origin: str = "") -> WrongContent:
    """The error for a placeholder in place of the file `name`, with the way to the real file at `origin`."""
    return WrongContent(name, placeholder.description, placeholder.remedy(origin))
