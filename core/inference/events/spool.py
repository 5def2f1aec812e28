"""The spool: a write-ahead log on disk that keeps records through any crash until the database has them.

Its segments are files named after the position of their first byte in the whole spool; positions only grow. Segments
of earlier runs are never appended to, because their end may be truncated. A segment is removed once the database has
all of it. Threads that append at the same time share one fsync.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import XaivaError, os_reason
from core.files import fsync_folder, read_regular, write_atomic, write_remedy
from core.inference.events.spool_records import Record, decode

logger = logging.getLogger(__name__)

SEGMENT_BYTES = 4 << 20
_PROBE_BYTES = 64 << 10  # must fit on the disk before it counts as writable again
_PRIVATE = 0o600


class SpoolError(XaivaError):
    """The disk refused a write: the record is not saved."""


@dataclass
class _Segment:
    path: Path
    base: int  # position of its first byte
    end: int  # position after its last valid byte
    damaged: bool = False


class _PendingLine:
    """A line whose thread waits until it is `done`, or until it is that thread's turn to write all waiting lines."""

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.turn = threading.Event()
        self.done = False
        self.error: OSError | None = None


class Spool:
    """Any thread may append; one thread reads and releases. Raises SpoolError when the folder is unusable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: list[_PendingLine] = []
        self._writing = False  # one thread writes for all that wait, then the longest waiting one takes over
        self._lock = threading.Lock()  # guards _waiting, _writing, _segments
        self._files = threading.Lock()  # guards the open segment
        self._file: int | None = None
        self._lock_handle: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock_handle = _lock_folder(folder)
            self.id = _spool_id(folder)
            self._segments = [_existing_segment(path) for path in sorted(folder.glob("*.spool"))]
        except OSError as error:
            self.close()
            raise self._write_error(error) from error
        self._end = max((segment.end for segment in self._segments), default=0)

    @property
    def first(self) -> int:
        """The position at which the oldest segment starts."""
        with self._lock:
            return self._segments[0].base if self._segments else self._end

    @property
    def end(self) -> int:
        """The position after the newest durable record."""
        return self._end

    def append(self, line: bytes) -> None:
        """Make `line` durable. Raises SpoolError when the disk refuses it."""
        entry = _PendingLine(line)
        with self._lock:
            self._waiting.append(entry)
            first, self._writing = not self._writing, True
        if not first:
            entry.turn.wait()
        if not entry.done:
            self._write_waiting()
        if entry.error is not None:
            raise self._write_error(entry.error) from entry.error

    def records(self, position: int, only: bytes = b"") -> Iterator[tuple[Record, int]]:
        """Durable records from `position` on, each with the position after it; with `only`, those that contain it.

        Skips a truncated tail. Logs a damaged line; its segment will be set aside instead of removed.
        """
        with self._lock:
            segments = [segment for segment in self._segments if segment.end > position]
        for segment in segments:
            at = max(position, segment.base)
            with contextlib.suppress(FileNotFoundError), open(segment.path, "rb") as file:
                file.seek(at - segment.base)
                while at < segment.end and (line := file.readline(segment.end - at)):
                    at += len(line)
                    if only in line and (record := self._decode(segment, line)):
                        yield record, at

    def release(self, position: int, make_durable: Callable[[], None]) -> None:
        """Remove the segments before `position`; first calls `make_durable`, so that the database really has them."""
        with self._lock:
            released = [segment for segment in self._segments[:-1] if segment.end <= position]
        if not released:
            return
        make_durable()
        for segment in released:
            if segment.damaged:
                segment.path.rename(segment.path.with_suffix(".damaged"))
            else:
                segment.path.unlink(missing_ok=True)
            with self._lock:
                self._segments.remove(segment)

    def set_aside(self, line: bytes) -> Path:
        """Move a line that the database refuses to a file for inspection; returns that file. Raises OSError."""
        path = self._folder / "refused.jsonl"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE)
        try:
            _write_all(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)
        return path

    def probe(self) -> None:
        try:
            write_atomic(self._folder / "probe", b"\0" * _PROBE_BYTES, _PRIVATE)
            (self._folder / "probe").unlink()
        except OSError as error:
            raise self._write_error(error) from error

    def close(self) -> None:
        """Release the folder for other processes. Later appends raise SpoolError."""
        with self._files:
            self._close_segment()
            if self._lock_handle is not None:
                os.close(self._lock_handle)
                self._lock_handle = None

    def _write_waiting(self) -> None:
        with self._lock:
            entries, self._waiting = self._waiting, []
        error: OSError | None = OSError("the write was interrupted")
        try:
            error = self._write(b"".join(entry.line for entry in entries))
        finally:
            for entry in entries:
                entry.error = error
                entry.done = True
                entry.turn.set()
            with self._lock:
                if self._waiting:
                    self._waiting[0].turn.set()
                else:
                    self._writing = False

    def _write(self, data: bytes) -> OSError | None:
        with self._files:
            try:
                segment, file = self._open_segment()
                _write_all(file, data)
                os.fdatasync(file)
            except OSError as error:
                self._abandon_segment(len(data))
                return error
            except BaseException:
                self._abandon_segment(len(data))
                raise
            segment.end += len(data)  # before _end: readers up to _end must find all of it
            self._end = segment.end
            return None

    def _open_segment(self) -> tuple[_Segment, int]:
        """The segment to append to: the newest of this run, or a new one when that is full."""
        if self._lock_handle is None:
            raise OSError("it was closed")
        newest = self._segments[-1] if self._segments else None
        if self._file is not None and newest is not None and newest.end - newest.base < SEGMENT_BYTES:
            return newest, self._file
        self._close_segment()
        path = self._folder / f"{self._end:020d}.spool"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE)
        try:
            fsync_folder(self._folder)
        except OSError:
            os.close(file)
            raise
        self._file = file
        if newest is None or newest.base != self._end:  # else an earlier run left an empty one
            newest = _Segment(path, self._end, self._end)
            with self._lock:
                self._segments.append(newest)
        return newest, file

    def _abandon_segment(self, length: int) -> None:
        """Close a segment that may contain part of a refused write; the next append opens a new one."""
        if self._file is None:
            return
        segment = self._segments[-1]
        try:
            os.ftruncate(self._file, segment.end - segment.base)
        except OSError:
            self._end = segment.end + length  # the file may be that long, and positions must stay unique
        self._close_segment()

    def _close_segment(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
            self._file = None

    def _decode(self, segment: _Segment, line: bytes) -> Record | None:
        try:
            return decode(line)
        except (ValueError, TypeError):
            if line.endswith(b"\n"):
                segment.damaged = True
                logger.error("spool %s: a record cannot be read; the file is kept as .damaged", segment.path.name)
            return None

    def _write_error(self, error: OSError) -> SpoolError:
        why = os_reason(error)
        remedy = f"{write_remedy(error)}: events cannot be kept until then"
        return SpoolError(f"Event spool {self._folder}", why, remedy)


def _lock_folder(folder: Path) -> int:
    """Lock out other processes; the kernel releases the lock when this process ends."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, _PRIVATE)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        remedy = "stop the other service, or give this one a data folder of its own with --data DIR"
        raise SpoolError(f"Event spool {folder}", "another process uses it", remedy) from None
    return handle


def _spool_id(folder: Path) -> str:
    """The spool's id, under which databases store its position."""
    path = folder / "id"
    if not path.exists():
        write_atomic(path, str(uuid.uuid4()), _PRIVATE)
    return read_regular(path).decode()


def _existing_segment(path: Path) -> _Segment:
    base = int(path.stem)
    return _Segment(path, base, base + path.stat().st_size)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
