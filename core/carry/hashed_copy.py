"""Copies bytes and hashes them on the way: while one block is hashed and written, the next one is read."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import mmap
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple, Protocol

from typing_extensions import Buffer

from core.carry.target import CHUNK_BYTES, OnBytes, Source
from core.content import WrongContent
from core.errors import XaivaError, os_reason

DIRECT_UNIT = 4096  # what direct writes are whole numbers of
_BUFFERS = 3
_INLINE_BYTES = 128 << 10


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
    """Copies with buffers that are used again and again, each read while those before it are hashed and written."""

    def __init__(self) -> None:
        self._hasher = ThreadPoolExecutor(1, "hash")
        self._writer = ThreadPoolExecutor(1, "write")
        self._buffers = [memoryview(mmap.mmap(-1, CHUNK_BYTES)) for _ in range(_BUFFERS)]  # aligned for direct writes

    def close(self) -> None:
        """End the threads."""
        self._hasher.shutdown()
        self._writer.shutdown()

    def copy(self, source: Source, name: str, length: int, digest: Digest, handle: int, wrote: OnBytes) -> int:
        """Copy up to `length` bytes; returns how many there were. Raises XaivaError when the source `name` fails."""
        if length <= _INLINE_BYTES:
            return self._copy_inline(source, name, length, digest, handle, wrote)
        done = 0
        pending: deque[_Block] = deque()
        try:
            for turn in itertools.cycle(range(_BUFFERS)):
                if len(pending) == _BUFFERS:
                    pending.popleft().wait(wrote)
                block = read_block(source, name, self._buffers[turn][: length - done])
                pending.append(
                    _Block(
                        len(block),
                        self._hasher.submit(digest.update, block),
                        self._writer.submit(write_all, handle, block),
                    )
                )
                done += len(block)
                if done == length or len(block) < CHUNK_BYTES:
                    break
            while pending:
                pending.popleft().wait(wrote)
        finally:
            for left in pending:  # after an error: they use the buffers and the handle
                wait([left.hashed, left.written])
        return done

    def _copy_inline(self, source: Source, name: str, length: int, digest: Digest, handle: int, wrote: OnBytes) -> int:
        """Of a small file; handing it to other threads would cost more than hashing it."""
        block = read_block(source, name, self._buffers[0][:length])
        digest.update(block)
        write_all(handle, block)
        wrote(len(block))
        return len(block)


class _Block(NamedTuple):
    """A block on its way."""

    size: int
    hashed: Future[None]
    written: Future[None]

    def wait(self, wrote: OnBytes) -> None:
        self.hashed.result()
        self.written.result()
        wrote(self.size)


def read_block(source: Source, name: str, buffer: memoryview) -> memoryview:
    """The next bytes of a source: as many as fit, fewer only at the end. Raises XaivaError when it fails."""
    count = 0
    try:
        while count < len(buffer):
            more = source.readinto(buffer[count:])
            if not more:
                break
            count += more
    except OSError as error:
        raise XaivaError(f"{name} cannot be read", os_reason(error), "nothing of it was finished") from error
    return buffer[:count]


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
    """Write the whole block, also where the system takes it in pieces. Only its end goes through memory."""
    rest = memoryview(block)
    while rest:
        whole = len(rest) // DIRECT_UNIT * DIRECT_UNIT
        if not whole:
            set_direct(handle, False)
        rest = rest[os.write(handle, rest[:whole] if whole else rest) :]


def set_direct(handle: int, direct: bool) -> None:
    """Let writes go around this machine's memory, where the file system can do that, or not."""
    flags = fcntl.fcntl(handle, fcntl.F_GETFL)
    new_flags = flags | os.O_DIRECT if direct else flags & ~os.O_DIRECT
    if new_flags != flags:
        with contextlib.suppress(OSError):
            fcntl.fcntl(handle, fcntl.F_SETFL, new_flags)


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
