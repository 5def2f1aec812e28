"""Logs of any size as numbered lines: opened at once, followed, searched, filtered; lost lines are counted.

Lines are numbered from 0. Call `update()` and the searches, which read files, in a thread; `read()` is fast enough for
a screen. Files are not memory-mapped: one that is truncated meanwhile must not crash the process.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from core.terminal_text import has_no_controls, mark_controls, strip_escapes

INDEX_BLOCK_BYTES = 1 << 16  # between two entries of the index: finding a line takes scanning one block
_PIECE = 1 << 20  # bytes indexed per read: each read lets other threads run
UPDATE_BYTES = 1 << 23  # bytes indexed per update, so that a huge log shows progress
MAX_LINE_CHARACTERS = 1 << 14  # shown of one line; the number of further characters follows it
_READ_LIMIT = 1 << 22  # bytes split into lines at once, and read of one line
_BATCH = 4096  # lines searched between two checks for a stop


class Lines(Protocol):
    """A growing list of lines."""

    @property
    def dropped(self) -> int:
        """How many lines were lost before the first one that can be read."""

    @property
    def generation(self) -> int:
        """A number that changes when the file was replaced, so that all lines are different."""

    @property
    def complete(self) -> bool:
        """Whether all lines have been counted."""

    def __len__(self) -> int:
        """How many lines can be read now."""

    def update(self) -> bool:
        """Take in new lines; True when anything changed."""

    def read(self, start: int, stop: int) -> list[str]:
        """The lines from `start` up to `stop` (exclusive), cleaned; fewer at the end of the log."""

    def tail(self, count: int) -> list[str]:
        """The last `count` lines, available even before `complete`."""


def strip_terminal_controls(text: str) -> str:
    """The text that a terminal would show: without escape sequences and text that a carriage return overwrote."""
    text = strip_escapes(text.rstrip("\r\n"))
    return text.rpartition("\r")[2] if "\r" in text else text


def clean_line(text: str, limit: int = MAX_LINE_CHARACTERS) -> str:
    """A line as it is shown: as a terminal would, at most `limit` characters, control characters marked."""
    return _truncate(mark_controls(strip_terminal_controls(text)), limit)


def _split_lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    return [_truncate(line) for line in lines] if has_no_controls(text) else [clean_line(line) for line in lines]


def _truncate(text: str, limit: int = MAX_LINE_CHARACTERS) -> str:
    return text if len(text) <= limit else f"{text[:limit]} [{len(text) - limit} more characters]"


class _Segment:
    """The index of one open file: how many line ends precede each block."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = 0  # bytes indexed
        self.lines = 0
        self._ends = 0  # line ends among them
        self._ends_before = array("Q", [0])  # block -> line ends before it
        self._block: tuple[int, bytes] = (-1, b"")
        weakref.finalize(self, os.close, descriptor)  # once unused: a search may still be running in a thread

    def extend(self, size: int) -> bool:
        """Index the file up to `size` bytes; False when it is shorter."""
        while self.size < size:
            data = os.pread(self.descriptor, min(_PIECE, size - self.size), self.size)
            if not data:
                return False
            at = 0
            while at < len(data):
                end = min(len(data), at + INDEX_BLOCK_BYTES - self.size % INDEX_BLOCK_BYTES)
                self._ends += data.count(b"\n", at, end)
                self.size += end - at
                at = end
                if self.size % INDEX_BLOCK_BYTES == 0:
                    self._ends_before.append(self._ends)
            self.lines = self._ends + (not data.endswith(b"\n"))  # a last line without a line end counts
        return True

    def read(self, start: int, stop: int) -> list[str]:
        stop = min(stop, self.lines)
        lines: list[str] = []
        while start + len(lines) < stop and (piece := self._read_piece(start + len(lines), stop)):
            lines += piece
        return lines

    def _read_piece(self, start: int, stop: int) -> list[str]:
        """At least the first of these lines, and as many more as fit into one bounded read."""
        at = self._offset(start)
        data = bytearray()
        ends = 0
        while at < self.size and ends < stop - start and len(data) < _READ_LIMIT:
            piece = os.pread(self.descriptor, min(INDEX_BLOCK_BYTES, self.size - at), at)
            if not piece:
                break
            data += piece
            at += len(piece)
            ends += piece.count(b"\n")
        return _split_lines(bytes(data))[: min(max(ends, 1), stop - start) if at < self.size else stop - start]

    def tail(self, count: int) -> list[str]:
        size = os.fstat(self.descriptor).st_size
        at = max(0, size - INDEX_BLOCK_BYTES)
        lines = _split_lines(os.pread(self.descriptor, INDEX_BLOCK_BYTES, at))
        if lines and not lines[-1]:
            lines.pop()
        return lines[1 if at else 0 :][-count:]

    def _offset(self, line: int) -> int:
        """The byte offset of a line: after the `line`-th line end."""
        if line == 0:
            return 0
        block = bisect_left(self._ends_before, line) - 1
        data = self._block_at(block)
        at = -1
        for _ in range(line - self._ends_before[block]):
            at = data.find(b"\n", at + 1)
        return block * INDEX_BLOCK_BYTES + at + 1

    def _block_at(self, block: int) -> bytes:
        number, data = self._block
        if number != block or len(data) < INDEX_BLOCK_BYTES:
            data = os.pread(self.descriptor, INDEX_BLOCK_BYTES, block * INDEX_BLOCK_BYTES)
            self._block = (block, data)
        return data


class FileLines:
    """The lines of a file, which may grow, be replaced or not exist yet."""

    dropped = 0

    def __init__(self, path: Path) -> None:
        self.path = path
        self.generation = 0
        self.complete = False
        self._segment: _Segment | None = None
        self._inode = 0

    def __len__(self) -> int:
        return self._segment.lines if self._segment else 0

    def update(self) -> bool:
        """Index what was written since the last call. Raises OSError when the file cannot be read."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            self.complete = True
            return False
        segment = self._segment
        if segment is None or status.st_ino != self._inode or status.st_size < segment.size:
            segment = self._open()
            status = os.fstat(segment.descriptor)
        before, was_complete = segment.size, self.complete
        if not segment.extend(min(status.st_size, before + UPDATE_BYTES)):
            self._inode = 0  # truncated while it was read: start over next time
        self.complete = segment.size >= status.st_size
        return segment.size != before or self.complete != was_complete

    def read(self, start: int, stop: int) -> list[str]:
        """The lines from `start` up to `stop` (exclusive)."""
        return self._segment.read(start, stop) if self._segment else []

    def tail(self, count: int) -> list[str]:
        """The last `count` lines, read without the index."""
        return (self._segment or self._open()).tail(count)

    def _open(self) -> _Segment:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._inode = os.fstat(descriptor).st_ino
        self._segment = segment = _Segment(descriptor)
        self.generation += 1
        self.complete = False
        return segment


class LineSpool:
    """Lines from another source (a container), kept in an unnamed temporary file of bounded size.

    At most `limit` bytes are kept; older lines are dropped and counted. One thread adds lines, others read them.
    """

    complete = True
    generation = 0

    def __init__(self, limit: int = 64 << 20) -> None:
        self._half = limit // 2
        self._lock = threading.Lock()
        self._old: _Segment | None = None
        self._new = _Segment(_open_unnamed_file())
        self._changed = False
        self.dropped = 0

    def __len__(self) -> int:
        return self._new.lines + (self._old.lines if self._old else 0)

    def add(self, lines: Iterable[str]) -> None:
        """Append lines, given without line ends."""
        data = "".join([f"{line}\n" for line in lines]).encode("utf-8", "replace")
        with self._lock:
            if self._new.size > self._half:
                if self._old:
                    self.dropped += self._old.lines
                self._old, self._new = self._new, _Segment(_open_unnamed_file())
            os.write(self._new.descriptor, data)
            self._new.extend(self._new.size + len(data))
            self._changed = True

    def update(self) -> bool:
        """Whether lines were added since the last call."""
        with self._lock:
            changed, self._changed = self._changed, False
            return changed

    def read(self, start: int, stop: int) -> list[str]:
        """The lines from `start` up to `stop` (exclusive), counted from the first one kept."""
        with self._lock:
            if not self._old:
                return self._new.read(start, stop)
            split = self._old.lines
            lines = self._old.read(start, min(stop, split)) if start < split else []
            return lines + self._new.read(max(0, start - split), max(0, stop - split))

    def tail(self, count: int) -> list[str]:
        """The last `count` lines."""
        return self.read(max(0, len(self) - count), len(self))


def _open_unnamed_file() -> int:
    with tempfile.TemporaryFile(prefix=".xaiva-tmp-") as file:
        return os.dup(file.fileno())


class FilteredLines:
    """The lines of `source` for which `accepts` is true, numbered from 0; `number(i)` is the number in `source`."""

    def __init__(self, source: Lines, accepts: Callable[[str], object]) -> None:
        self.source = source
        self._accepts = accepts
        self._start_over()

    def _start_over(self) -> None:
        self._numbers = array("Q")  # counted from the first line ever, including dropped ones
        self._scanned = self.source.dropped
        self._generation = self.source.generation

    @property
    def dropped(self) -> int:
        """The number of lines that `source` has lost."""
        return self.source.dropped

    @property
    def generation(self) -> int:
        """The generation of `source`."""
        return self.source.generation

    @property
    def complete(self) -> bool:
        """Whether all lines of `source` have been tested."""
        return self.source.complete and self._scanned >= self.source.dropped + len(self.source)

    def __len__(self) -> int:
        return len(self._numbers) - self._dropped_matches()

    def number(self, index: int) -> int:
        """The number in `source` of the matching line `index`."""
        return self._numbers[index + self._dropped_matches()] - self.source.dropped

    def update(self) -> bool:
        """Test one batch of new lines; True when anything changed."""
        changed = self.source.update()
        if self.source.generation != self._generation:
            self._start_over()
        dropped = self.source.dropped
        start = max(self._scanned, dropped)
        lines = self.source.read(start - dropped, start - dropped + _BATCH)
        if not self.source.complete or start + len(lines) == dropped + len(self.source):
            lines = lines[: max(0, len(self.source) - (start - dropped))]
        self._numbers.extend(at for at, line in enumerate(lines, start) if self._accepts(line))
        self._scanned = start + len(lines)
        return changed or bool(lines)

    def read(self, start: int, stop: int) -> list[str]:
        """The matching lines from `start` up to `stop` (exclusive)."""
        stop = min(stop, len(self))
        return [line for index in range(start, stop) for line in self._read_line(self.number(index))]

    def tail(self, count: int) -> list[str]:
        """The last matching lines among those tested so far."""
        return self.read(max(0, len(self) - count), len(self))

    def _read_line(self, number: int) -> list[str]:
        return self.source.read(number, number + 1)

    def _dropped_matches(self) -> int:
        return bisect_left(self._numbers, self.source.dropped)


def compile_search(text: str) -> re.Pattern[str]:
    """A user's search as a regular expression, case-sensitive only if it has upper case. Raises re.error."""
    return re.compile(text, 0 if any(char.isupper() for char in text) else re.IGNORECASE)


def find_line(
    source: Lines,
    accepts: Callable[[str], object],
    start: int,
    backwards: bool,
    stop: Callable[[], bool] = lambda: False,
) -> int | None:
    """The number of the next line that `accepts` is true for, from `start` on, wrapping around; None for no line."""
    for first, last in _batches(len(source), start, backwards):
        if stop():
            return None
        hits = [at for at, line in enumerate(source.read(first, last), first) if accepts(line)]
        if hits:
            return hits[-1] if backwards else hits[0]
    return None


def _batches(count: int, start: int, backwards: bool) -> Iterator[tuple[int, int]]:
    """All lines once, in batches, from `start` in the given direction, wrapping around."""
    start = min(max(start, -1), count)
    if backwards:
        for high, low in ((min(start + 1, count), 0), (count, start + 1)):
            for end in range(high, low, -_BATCH):
                yield max(low, end - _BATCH), end
    else:
        for low, high in ((max(start, 0), count), (0, max(start, 0))):
            for begin in range(low, high, _BATCH):
                yield begin, min(high, begin + _BATCH)
