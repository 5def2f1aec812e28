"""A partial download: its pieces, which of them are on disk, and the hash of what is complete.

The bytes are in `.partial/<sha256>.part`, the journal is in `.partial/<sha256>.json`. Both survive a kill; the journal
may lag behind the bytes but never runs ahead of them. Only the final SHA-256 decides whether a file is good.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from core.artifacts.lockfile import LockedFile
from core.content import HEAD_BYTES, Placeholder, check_content, recognise
from core.files import CHUNK_BYTES

PIECE_BYTES = 16 << 20  # of one range request; larger files use several connections
JOURNAL_SECONDS = 1.0


@dataclass
class Piece:
    """The bytes from `start` up to `end`, of which the first `done` are on disk."""

    start: int
    end: int
    done: int = 0

    @property
    def complete(self) -> bool:
        """Whether all its bytes are on disk."""
        return self.start + self.done >= self.end


class _OpenFile:
    """A file that stays open while any thread uses it, so that its descriptor is not reused for another file."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        weakref.finalize(self, os.close, self.number)


class PartialDownload:
    """The download of one file. Thread-safe."""

    def __init__(self, file: LockedFile, target: Path, folder: Path, urls: list[str]) -> None:
        self.file = file
        self.target = target
        self.urls = urls  # in the order of use; the first is dropped when it fails permanently
        self.etag = ""
        self.ranged = False  # whether the server has served a range
        self.generation = 0  # incremented when everything fetched so far is discarded
        self.restarts = 0
        self.started = 0.0
        self.lock = threading.Lock()
        self._part = folder / f"{file.sha256}.part"
        self._journal = folder / f"{file.sha256}.json"
        self._open_file: _OpenFile | None = None
        self._hash_lock = threading.Lock()
        self._digest = hashlib.sha256()
        self._hashed = 0
        self._written = time.monotonic()
        self.pieces = _split_pieces(file.size)
        self._load()

    @property
    def host(self) -> str:
        """Host and port of the URL in use."""
        return urlsplit(self.urls[0]).netloc.rpartition("@")[2]

    @property
    def done(self) -> int:
        """How many bytes of the file are on disk."""
        return sum(piece.done for piece in self.pieces)

    @property
    def complete(self) -> bool:
        """Whether every piece is on disk."""
        return all(piece.complete for piece in self.pieces)

    def write(self, generation: int, piece: Piece, data: bytes) -> bool:
        """Append `data` to `piece`; False when the piece belongs to an older generation. Raises OSError (disk full)."""
        with self.lock:
            if generation != self.generation:
                return False
            file = self._open()
            offset = piece.start + piece.done
        count = 0
        while count < len(data):
            count += os.pwrite(file.number, memoryview(data)[count:], offset + count)
        self._hash_new(offset, data)
        with self.lock:
            piece.done += len(data)
            journal_due = time.monotonic() - self._written > JOURNAL_SECONDS
            if journal_due or (piece.complete and not self.complete):  # a complete file is put in its place at once
                self._save()
        return True

    def restart(self, generation: int, pieces: list[Piece] | None = None) -> bool:
        """Discard what was fetched and fetch `pieces` (default: the whole file, split).

        False, without any effect, when another thread has restarted since `generation`.
        """
        with self.lock, self._hash_lock:
            if generation != self.generation:
                return False
            self.generation += 1
            self.pieces = pieces if pieces is not None else _split_pieces(self.file.size)
            self.etag = ""
            self.ranged = False
            self._digest = hashlib.sha256()
            self._hashed = 0
            self._journal.unlink(missing_ok=True)
            if self._open_file is not None:
                os.ftruncate(self._open_file.number, 0)
            return True

    def hash_contiguous(self) -> None:
        """Hash the bytes on disk up to the first gap, unless another thread is hashing."""
        file = self._open_file
        if file is not None and self._hash_lock.acquire(blocking=False):
            try:
                self._hash_until(file, self._contiguous())
            finally:
                self._hash_lock.release()

    def finish(self) -> bool:
        """Check the SHA-256 and put the file in its place, durably; False when the SHA-256 differs from the lock.

        Raises WrongContent when the SHA-256 matches but the content is not what the file's name promises.
        """
        with self._hash_lock:
            file = self._open()
            self._hash_until(file, self.file.size)
            if self._digest.hexdigest() != self.file.sha256:
                return False
            check_content(self._part, self.file.path, self.file.url)
            os.ftruncate(file.number, self.file.size)
            os.fchmod(file.number, 0o644)
            os.fsync(file.number)
        self.target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self._part, self.target)
        self._journal.unlink(missing_ok=True)
        self.close()
        return True

    def placeholder(self, size: int) -> Placeholder | None:
        """What the server seems to have sent instead of the file, judged by its first `size` bytes."""
        with self.lock:
            head = os.pread(self._open().number, min(HEAD_BYTES, size), 0)
        return recognise(head, size, self.file.path) if head else None

    def discard(self) -> None:
        """Delete everything on disk: it cannot become the locked file."""
        self._part.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)

    def close(self) -> None:
        """Write the journal, so that the next sync can resume."""
        with self.lock:
            if self._open_file is None:
                return
            self._open_file = None
            try:
                if self._part.exists():
                    self._save()
            except OSError:
                pass  # the disk is full; the previous journal is still valid

    def _open(self) -> _OpenFile:
        if self._open_file is None:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            self._open_file = _OpenFile(self._part)
        return self._open_file

    def _hash_new(self, offset: int, data: bytes) -> None:
        """Hash bytes that continue what is hashed, while they are in memory; others are read again later."""
        if self._hash_lock.acquire(blocking=False):
            try:
                if offset == self._hashed:
                    self._digest.update(data)
                    self._hashed += len(data)
            finally:
                self._hash_lock.release()

    def _hash_until(self, file: _OpenFile, end: int) -> None:
        while self._hashed < end:
            data = os.pread(file.number, min(CHUNK_BYTES, end - self._hashed), self._hashed)
            if not data:
                return
            self._digest.update(data)
            self._hashed += len(data)

    def _contiguous(self) -> int:
        end = 0
        for piece in self.pieces:
            end = piece.start + piece.done
            if not piece.complete:
                break
        return end

    def _save(self) -> None:
        self._written = time.monotonic()
        state = {
            "size": self.file.size,
            "etag": self.etag,
            "ranged": self.ranged,
            "pieces": [[piece.start, piece.end, piece.done] for piece in self.pieces],
        }
        temporary = self._journal.with_suffix(".new")  # no fsync: after a power cut, the SHA-256 decides anyway
        try:
            temporary.write_text(json.dumps(state))
            os.replace(temporary, self._journal)
        finally:
            temporary.unlink(missing_ok=True)

    def _load(self) -> None:
        """Resume an earlier sync. Deletes the bytes when their journal is missing or inconsistent."""
        try:
            state = json.loads(self._journal.read_text())
            on_disk = self._part.stat().st_size
            pieces = [Piece(*map(int, row)) for row in state["pieces"]]
            fits = all(0 <= piece.done <= piece.end - piece.start for piece in pieces)
            reach = max((piece.start + piece.done for piece in pieces if piece.done), default=0)
            if fits and state["size"] == self.file.size and pieces[-1].end == self.file.size and reach <= on_disk:
                self.pieces, self.etag, self.ranged = pieces, str(state["etag"]), bool(state["ranged"])
        except (OSError, ValueError, LookupError, TypeError):
            self._part.unlink(missing_ok=True)


def single_piece(size: int) -> list[Piece]:
    """One piece, for a server that cannot send ranges."""
    return [Piece(0, size)]


def _split_pieces(size: int) -> list[Piece]:
    if size <= PIECE_BYTES + PIECE_BYTES // 2:
        return single_piece(size)
    return [Piece(start, min(start + PIECE_BYTES, size)) for start in range(0, size, PIECE_BYTES)]


def stale_files(folder: Path, needed: set[str]) -> list[Path]:
    """Files in `.partial/` that belong to no file in `needed` (SHA-256s)."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.name.partition(".")[0] not in needed]
