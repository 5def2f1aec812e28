"""Looks at a file as what it should be: a pointer, a login page or an error answer in its place is named."""

from __future__ import annotations

import os
from pathlib import Path

from core.content.formats import check_format
from core.content.stand_ins import HEAD, POINTER_LIMIT, StandIn, recognise, recognise_pointer
from core.errors import XaivaError

__all__ = [
    "HEAD",
    "POINTER_LIMIT",
    "StandIn",
    "WrongContent",
    "check",
    "describe",
    "recognise",
    "recognise_pointer",
    "wrong_content",
]


class WrongContent(XaivaError):
    """A file holds something else than it should; its checksum says nothing about that."""


def describe(path: Path, name: str = "") -> StandIn | None:
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


def check(path: Path, name: str, origin: str = "") -> None:
    """Raise WrongContent when the file at `path` is not what `name` promises. `origin` is its URL, "" for a local file.

    Raises OSError when it cannot be read.
    """
    found = describe(path, name)
    if found is not None:
        raise wrong_content(name, found, origin)


def wrong_content(name: str, found: StandIn, origin: str = "") -> WrongContent:
    """The error about a file `name` in whose place something else was `found`, with the way to the real one."""
    return WrongContent(name, found.words, found.remedy(origin))
