"""What a component states about its licence: the licence, or why there is none, and where that was read."""

from __future__ import annotations

import errno
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from enum import Enum
from pathlib import Path
from typing import BinaryIO, NamedTuple

from core.errors import os_reason
from core.files import describe_irregular_file
from core.terminal_text import escape_invisible

MAX_CHARACTERS = 160  # of what a component states; some have the text of the whole licence there

# What the readers of archives raise for content that is damaged or was made to harm.
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    ArithmeticError,
    LookupError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
)


class State(str, Enum):
    """Whether a component states a licence. Only STATED is one."""

    STATED = "stated"
    INSIDE = "in a file inside"
    """A file in the component has it, as text for a person."""
    NOT_STATED = "not stated"
    UNREADABLE = "cannot be read"


class Licence(NamedTuple):
    """What one component states."""

    state: State
    text: str
    """The licence, or what a reader gets instead of one."""
    where: str
    """Where it was read or looked for."""


def stated(text: str, where: str) -> Licence:
    """A licence in the component's own words; their first line, cut when it is long."""
    lines = text.strip().splitlines()
    line = escape_invisible(lines[0].strip()[: MAX_CHARACTERS + 1])
    cut = line[:MAX_CHARACTERS].rstrip()
    return Licence(State.STATED, f"{cut} …" if cut != line or len(lines) > 1 else line, where)


def stated_names(names: list[str], where: str) -> Licence:
    """Several licences; as many as fit into a line, and the number of the others."""
    unique = list(dict.fromkeys(escape_invisible(name.strip()) for name in names))
    text, count = unique[0][:MAX_CHARACTERS], 1
    while count < len(unique) and len(text) + len(unique[count]) + 2 <= MAX_CHARACTERS:
        text, count = f"{text}, {unique[count]}", count + 1
    return Licence(State.STATED, text if count == len(unique) else f"{text} and {len(unique) - count} more", where)


def inside(file: str, where: str) -> Licence:
    """A file inside the component has the licence."""
    return Licence(State.INSIDE, f"see {escape_invisible(file)[:MAX_CHARACTERS]}", where)


def not_stated(where: str) -> Licence:
    """No licence was found."""
    return Licence(State.NOT_STATED, State.NOT_STATED.value, where)


def unreadable(error: BaseException | str, where: str) -> Licence:
    """The component could not be read, so nobody knows what it states."""
    if isinstance(error, OSError) and error.errno is not None:
        reason = os_reason(error)
    else:
        reason = str(error) or type(error).__name__
    line = " ".join(escape_invisible(reason[:MAX_CHARACTERS], keep="\n").split())
    return Licence(State.UNREADABLE, f"{State.UNREADABLE.value}: {line}", where)


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read it. Raises OSError, also for anything but a regular file."""
    if kind := describe_irregular_file(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
    return open(path, "rb")
