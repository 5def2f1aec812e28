"""Copies bytes and hashes them on the way: while one block is hashed, it is written and the next one is read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Protocol

from typing_extensions import Buffer

from core.carry.target import CHUNK_BYTES, Source
from core.content import WrongContent
from core.errors import XaivaError, os_reason

_INLINE_BYTES = 128 << 10  # below it, handing a block to another thread costs more than hashing it


class Digest(Protocol):
    """What takes the bytes that are copied: a hash."""

    def update(self, block: Buffer, /) -> None:
        """Take the next bytes."""


class Both:
    """Two hashes of the same bytes."""

    def __init__(self, first: Digest, second: Digest) -> None:
        self._first = first
        self._second = second

    def update(self, block: Buffer, /) -> None:
        """Give the next bytes to both."""
        self._first.update(block)
        self._second.update(block)


class HashedCopy:
    """Copies with two buffers that are used again and again."""

    def __init__(self, hasher: Executor) -> None:
        self._hasher = hasher
        self._buffers = [memoryview(bytearray(CHUNK_BYTES)) for _ in range(2)]

    def copy(self, source: Source, name: str, length: int, digest: Digest, write: Callable[[memoryview], None]) -> int:
        """Copy up to `length` bytes; returns how many there were. Raises XaivaError when the source `name` fails."""
        done, turn = 0, 0
        pending: list[Future[None] | None] = [None, None]
        try:
            while done < length:
                if (before := pending[turn]) is not None:
                    before.result()  # its buffer is still being hashed
                count = _read(source, name, self._buffers[turn][: length - done])
                if not count:
                    break
                block = self._buffers[turn][:count]
                if count < _INLINE_BYTES and not any(pending):
                    digest.update(block)
                else:
                    pending[turn] = self._hasher.submit(digest.update, block)
                write(block)
                done += count
                turn ^= 1
        finally:
            for future in pending:
                if future is not None:
                    future.result()
        return done


def _read(source: Source, name: str, buffer: memoryview) -> int:
    try:
        return source.readinto(buffer) or 0
    except OSError as error:
        raise XaivaError(f"{name} cannot be read", os_reason(error), "nothing of it was finished") from error


def hash_start(handle: int, length: int) -> hashlib._Hash:
    """The hash of the first `length` bytes of an open file, which stands behind them then."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(CHUNK_BYTES, max(length, 1))))
    os.lseek(handle, 0, os.SEEK_SET)
    while length:
        count = os.readv(handle, [buffer[:length]])
        if not count:
            break
        digest.update(buffer[:count])
        length -= count
    return digest


def write_all(handle: int, block: Buffer) -> None:
    """Write the whole block, also where the system takes it in pieces."""
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(handle, rest) :]


def source_name(source: Source, path: str) -> str:
    """How messages name a source: by its file, when it has one."""
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else path


def wrong_source(name: str, sha256: str, actual: str, size: int, length: int) -> WrongContent:
    """For a source that is not what was announced."""
    if length != size:
        return WrongContent(f"{name} is too short", f"it ends after {length} of {size} bytes", _CHANGED)
    return WrongContent(f"{name} has another content", f"its SHA-256 is {actual}, not {sha256}", _CHANGED)


_CHANGED = "restore it, or pack what is there now; nothing of it was finished"
