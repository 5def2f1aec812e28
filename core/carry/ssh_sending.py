"""What is being sent to another machine. Each of these outlives the connections that it needs.

`send` is called again after a cut, and sends only what has not arrived; `arrived` counts what has.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from dataclasses import dataclass

from core.carry.hashed_copy import read_block, source_name, wrong_source
from core.carry.ssh_session import SshSession
from core.carry.target import UNFINISHED, OnBytes, OpenAt, Source
from core.errors import XaivaError, os_reason

SYNC_BYTES = 30 << 20  # of a long file, until it is made durable


@dataclass(frozen=True)
class Put:
    """A file that is to be there, and where its bytes come from."""

    path: str
    size: int
    sha256: str
    open_at: OpenAt
    on_durable: OnBytes


class SendingBatch:
    """Small files that are being sent. After a cut, those that have arrived are not sent again."""

    def __init__(self, contents: list[tuple[Put, bytes]]) -> None:
        self._contents = contents
        self._first = True  # what lies there is of an earlier run, and may be anything
        self.arrived = 0

    def send(self, session: SshSession) -> None:
        """Send what is missing there."""
        missing = self._contents
        if not self._first:
            sizes = ask_all(session, "size", [file.path + UNFINISHED for file, _ in missing])
            pairs = zip(missing, sizes, strict=True)
            missing = [item for item, size in pairs if int(size) != item[0].size or not item[0].size]
            self.arrived = len(self._contents) - len(missing)
        else:
            ask_all(session, "remove", [file.path + UNFINISHED for file, _ in missing])
            self._first = False
        window = _Window(session)
        for file, data in missing:
            window.write(file.path + UNFINISHED, 0, memoryview(data))
        window.drain()


class _Window:
    """Writes that are not answered yet."""

    def __init__(self, session: SshSession) -> None:
        self._session = session
        self._waiting: deque[int] = deque()

    @property
    def piece_bytes(self) -> int:
        """How much to write at once, so that the next piece is on its way while the answer comes."""
        return self._session.window_bytes // 2

    def write(self, path: str, position: int, data: memoryview) -> None:
        """Send bytes, after so many answers that not too much is on its way."""
        while self._waiting and sum(self._waiting) + len(data) > self._session.window_bytes:
            self._session.answer()
            self._waiting.popleft()
        self._session.send("write", path, position, len(data))
        self._session.write(data)
        self._waiting.append(len(data))

    def drain(self) -> None:
        """Wait for all answers."""
        while self._waiting:
            self._session.answer()
            self._waiting.popleft()


class SendingPiece:
    """A piece of a stream that is being sent from memory."""

    def __init__(self, path: str, start: int, piece: memoryview) -> None:
        self._path = path
        self._start = start
        self._piece = piece
        self.arrived = 0

    def send(self, session: SshSession) -> None:
        """Send what is missing there; durable at the end."""
        self.arrived = int(session.ask("size", self._path)) - self._start
        window, position = _Window(session), self.arrived
        if not self._piece:
            window.write(self._path, self._start, self._piece)  # also an empty file has to be there
        while position < len(self._piece):
            block = self._piece[position : position + window.piece_bytes]
            window.write(self._path, self._start + position, block)
            position += len(block)
        window.drain()
        session.ask("sync", self._path)


class SendingFile:
    """A long file that is being sent. It outlives the connections that it needs."""

    def __init__(self, file: Put, buffer: memoryview) -> None:
        self._file = file
        self._buffer = buffer
        self._hashed = 0
        self._restart = True  # what is there is of another content
        self.digest = hashlib.sha256()
        self._durable = 0
        self.arrived = 0
        self.name = file.path

    def start_after(self, length: int, sha256: str) -> None:
        """Go on after `length` bytes that are there, if they are the right ones."""
        source, self.name = open_source(self._file, 0)
        digest, done = hashlib.sha256(), 0
        with contextlib.closing(source):
            while done < length:
                block = read_block(source, self.name, self._buffer[: length - done])
                if not block:
                    return
                digest.update(block)
                done += len(block)
        if digest.hexdigest() == sha256:
            self.digest, self._hashed, self._restart = digest, length, False

    def send(self, session: SshSession) -> None:
        """Send what is missing there."""
        path = self._file.path + UNFINISHED
        if self._restart:
            session.ask("remove", path)
            self._restart = False
        self.arrived = position = int(session.ask("size", path))
        source, self.name = open_source(self._file, position)
        window = _Window(session)
        with contextlib.closing(source):
            while position < self._file.size:
                count = min(window.piece_bytes, self._file.size - position, len(self._buffer))
                block = read_block(source, self.name, self._buffer[:count])
                if not block:
                    raise wrong_source(self.name, "", "", self._file.size, position)
                window.write(path, position, self._hash(position, block))
                position += len(block)
                if position - self._durable >= SYNC_BYTES:
                    window.drain()
                    self._make_durable(session, path, position)
        window.drain()
        self._make_durable(session, path, position)

    def _hash(self, position: int, block: memoryview) -> memoryview:
        """Before it is sent; what was lost on the way is sent again, but not hashed again."""
        end = position + len(block)
        if end > self._hashed:
            self.digest.update(block[len(block) - (end - self._hashed) :])
            self._hashed = end
        return block

    def _make_durable(self, session: SshSession, path: str, position: int) -> None:
        if position > self._durable:
            session.ask("sync", path)
            self._file.on_durable(position - self._durable)
            self._durable = position


def open_source(file: Put, offset: int) -> tuple[Source, str]:
    """The source at an offset, and its name. Raises XaivaError when it cannot be opened."""
    try:
        source = file.open_at(offset)
    except OSError as error:
        raise XaivaError(f"{error.filename or file.path} cannot be read", os_reason(error)) from error
    return source, source_name(source, file.path)


def ask_all(session: SshSession, verb: str, paths: list[str]) -> list[str]:
    """Ask one thing about many files, without waiting in between."""
    for path in paths:
        session.send(verb, path)
    return [session.answer() for _ in paths]
