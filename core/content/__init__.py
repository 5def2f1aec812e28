"""Looks at a file as what it should be: a pointer, a login page or an error answer in its place is named."""

from __future__ import annotations

import os
from pathlib import Path

from core.content.formats import check_format
from core.content.placeholders import HEAD, POINTER_LIMIT, Placeholder, recognise, recognise_pointer
from core.errors import XaivaError

__all__ = [
    "HEAD",
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
    """A file holds something else than it should; its checksum says nothing about that."""


def find_wrong_content(path: Path, name: str = "") -> Placeholder | None:
    """What the file at `path` holds in the place of what `name` promises (default: its own name); None when it fits.

    Only what is positively something else, or does not open as what its suffix claims, is named. Reads head and tail.
    """
    name = name or path.name
    if path.is_symlink() and not path.exists():
        return recognise_pointer(os.readlink(path).encode(errors="replace"))  # git-annex without the file's content
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(HEAD)
    return recognise(head, size, name) or check_format(path, size, name)


def check_content(path: Path, name: str, origin: str = "") -> None:
    """Raise WrongContent when the file at `path` is not what `name` promises. `origin` is its URL, "" for a local file.

    Raises OSError when it cannot be read.
    """
    placeholder = find_wrong_content(path, name)
    if placeholder is not None:
        raise wrong_content_error(name, placeholder, origin)


def wrong_content_error(name: str, placeholder: Placeholder, origin: str = "") -> WrongContent:
    """The error about a file `name` in whose place something else was `found`, with the way to the real one."""
    return WrongContent(name, placeholder.description, placeholder.remedy(origin))
