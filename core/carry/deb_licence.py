"""The licence that a Debian package states: its `usr/share/doc/<package>/copyright`, read from the package itself.

A package is an ar archive; one of its members, `data.tar.*`, has the files. It is read until the copyright file comes.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import posixpath
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, Protocol, cast

from core.carry.licence import DAMAGE, Licence, State, inside, not_stated, open_regular, stated_names, unreadable
from core.terminal_text import escape_invisible


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


DOCUMENTS = "usr/share/doc"
_MAX_UNPACKED_BYTES = 512 << 20  # until the copyright file comes; of GCC and of CMake it is below 70 MB
_MAX_COPYRIGHT_BYTES = 4 << 20
_READ_BYTES = 256 << 10
_OPENERS: dict[str, Callable[[Any], _Stream]] = {
    "data.tar": io.BufferedReader,
    "data.tar.xz": lzma.LZMAFile,
    "data.tar.lzma": lzma.LZMAFile,
    "data.tar.gz": lambda member: gzip.GzipFile(fileobj=member),
    "data.tar.bz2": bz2.BZ2File,
}
_AR_MAGIC, _AR_HEADER_BYTES = b"!<arch>\n", 60
_LICENSE = re.compile(r"^License:[ \t]*(\S.*)$", re.MULTILINE | re.IGNORECASE)
_FORMAT = re.compile(r"^Format(-Specification)?:", re.MULTILINE | re.IGNORECASE)


class SharedDocuments(NamedTuple):
    """The copyright file of another package, to which a package links instead of having one."""

    package: str


def read_deb(path: Path, package: str) -> Licence | SharedDocuments:
    """What the package states. A damaged one is called that; nothing is raised for it."""
    where = f"{DOCUMENTS}/{package}/copyright"
    try:
        with open_regular(path) as file:
            name, size = _seek_data(file)
            with contextlib.closing(_unpacked(name, _Member(file, size))) as unpacked:
                return _find_copyright(unpacked, package, where)
    except _NotUnpacked as error:
        return Licence(State.UNREADABLE, f"{error}: see {where} inside the package", f"{where}, not unpacked")
    except DAMAGE as error:
        return unreadable(error, where)


class _NotUnpacked(Exception):
    """Nothing here reads the form in which the package is packed."""


class _Member(io.RawIOBase):
    """The next `size` bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__()
        self._file, self._left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        if not data and self._left:
            raise EOFError("it is cut off")
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


class _Zstd:
    """Unpacks with the program zstd. dpkg-deb would need less, but some of its versions never end on a cut-off file."""

    def __init__(self, packed: _Member) -> None:
        self._process = subprocess.Popen(
            ["zstd", "-dcq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._feeder = threading.Thread(target=self._feed, args=(packed,), daemon=True)
        self._feeder.start()

    def _feed(self, packed: _Member) -> None:
        # zstd fails for an input that is cut off, and ends early when it is closed.
        with contextlib.suppress(OSError, EOFError), self._input:
            shutil.copyfileobj(packed, self._input, _READ_BYTES)

    def read(self, size: int, /) -> bytes:
        data = self._output.read(size)
        if not data and (code := self._process.wait()):
            raise ValueError(f"zstd ends with exit code {code}")
        return data

    def close(self) -> None:
        self._process.kill()
        self._feeder.join()
        self._output.close()
        self._process.wait()


class _Bounded:
    """Ends the reading of what unpacks to more than anybody should read for one line of text."""

    def __init__(self, stream: _Stream) -> None:
        self._stream, self._left = stream, _MAX_UNPACKED_BYTES

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"there is none in its first {_MAX_UNPACKED_BYTES >> 20} MiB")
        return data


def _seek_data(file: BinaryIO) -> tuple[str, int]:
    """Go to the archive's member with the files; returns its name and size."""
    if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise ValueError("it is not a Debian package")
    while header := file.read(_AR_HEADER_BYTES):
        if len(header) < _AR_HEADER_BYTES or header[-2:] != b"`\n":
            raise ValueError("its archive is damaged")
        name, size = header[:16].decode("ascii").rstrip(" /"), int(header[48:58])
        if name.startswith("data.tar"):
            return name, size
        file.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError("it has no files")


def _unpacked(name: str, member: _Member) -> _Stream:
    if opener := _OPENERS.get(name):
        return opener(member)
    if name != "data.tar.zst":
        raise _NotUnpacked(f"packed as {escape_invisible(name)}")
    if shutil.which("zstd") is None:
        raise _NotUnpacked("packed with zstd, and the program zstd is not here")
    return _Zstd(member)


def _find_copyright(stream: _Stream, package: str, where: str) -> Licence | SharedDocuments:
    folder = f"{DOCUMENTS}/{package}"
    with tarfile.open(fileobj=cast(IO[bytes], _Bounded(stream)), mode="r|", bufsize=_READ_BYTES) as archive:
        for entry in archive:
            name = posixpath.normpath(entry.name).lstrip("/")
            if name not in (folder, where) or entry.isdir():
                continue
            if entry.issym() or entry.islnk():
                return _linked(name, entry, where)
            if name == where and (content := archive.extractfile(entry)):
                return _of_copyright(content.read(_MAX_COPYRIGHT_BYTES + 1), where)
    return not_stated(f"the package has no {where}")


def _linked(name: str, entry: tarfile.TarInfo, where: str) -> Licence | SharedDocuments:
    """Where a link leads that the package has instead of its folder or its copyright file."""
    start = posixpath.dirname(name) if entry.issym() else ""
    target = posixpath.normpath(posixpath.join("/", start, entry.linkname)).lstrip("/")
    match = re.fullmatch(rf"{DOCUMENTS}/([a-z0-9][a-z0-9+.-]*)(/copyright)?", target)
    return SharedDocuments(match[1]) if match else inside(target, f"{where}, a link")


def _of_copyright(text: bytes, where: str) -> Licence:
    """The names in a machine-readable copyright file; of another one, nobody but a person can tell."""
    content = text.decode("utf-8", "replace").lstrip("\ufeff\n")
    head = content.partition("\n\n")[0]
    names = _LICENSE.findall(content) if _FORMAT.search(head) and len(text) <= _MAX_COPYRIGHT_BYTES else []
    return stated_names(names, where) if names else inside(f"{where} inside the package", "it is text for a person")
