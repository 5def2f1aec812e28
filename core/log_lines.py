"""Logs of any size as numbered lines: opened at once, followed, searched, filtered; what is lost is counted.

Lines are numbered from 0. `update()` and the searches read files and belong into a thread; `read()` is quick enough for
a screen. Nothing is mapped into memory: a log that is cut short under us must not end the process.
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

INDEX_BLOCK_BYTES = 1 << 16  # bytes between two entries of the index: a line is found by scanning one block
_PIECE = 1 << 20  # bytes indexed at one read: each read hands the interpreter to another thread
UPDATE_BYTES = 1 << 23  # bytes indexed in one update, so that a huge log shows progress
MAX_LINE_CHARACTERS = 1 << 14  # characters shown of one line; the rest is counted at its end
_READ_LIMIT = 1 << 22  # bytes split into lines at once; of a longer line no more is read
_BATCH = 4096  # lines searched between two looks at whether to stop


class Lines(Protocol):
    """A growing list of lines. `dropped` lines are lost before the first that can be read."""

    @property
    def dropped(self) -> int:
        """How many lines were lost at the front, as far as is known."""

    @property
    def generation(self) -> int:
        """Changes when all lines are other ones: the file was replaced."""

    @property
    def complete(self) -> bool:
        """Whether every line there is has been counted."""

    def __len__(self) -> int:
        """How many lines can be read now."""

    def update(self) -> bool:
        """Take in what has come; True when anything changed."""

    def read(self, start: int, stop: int) -> list[str]:
        """The lines from `start` up to `stop`, cleaned; fewer where there are no more."""

    def tail(self, count: int) -> list[str]:
        """The last lines, also while not complete."""


def strip_terminal_controls(text: str) -> str:
    """A line as a terminal would leave it: no escape sequences, and only what no carriage return overwrote."""
    text = strip_escapes(text.rstrip("\r\n"))
    return text.rpartition("\r")[2] if "\r" in text else text


def clean_line(text: str, limit: int = MAX_LINE_CHARACTERS) -> str:
    """A line as it is shown: settled, `limit` characters at most, and with a mark for each control character."""
    return _truncate(mark_controls(strip_terminal_controls(text)), limit)


def _split_lines(data: bytes) -> list[str]:
    text = data.decode("utf-8", "replace")
    lines = text.split("\n")
    return [_truncate(line) for line in lines] if has_no_controls(text) else [clean_line(line) for line in lines]


def _truncate(text: str, limit: int = MAX_LINE_CHARACTERS) -> str:
    return text if len(text) <= limit else f"{text[:limit]} [{len(text) - limit} more characters]"


class _Segment:
    """The index over one open file: how many line ends lie before each block."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.size = 0  # bytes indexed
        self.lines = 0
        self._ends = 0  # line ends among them
        self._ends_before = array("Q", [0])  # block -> line ends before it
        self._block: tuple[int, bytes] = (-1, b"")
        weakref.finalize(self, os.close, descriptor)  # by the last reader: a search may still be under way in a thread

    def extend(self, size: int) -> bool:
        """Index the file up to `size` bytes. False when it turns out to be shorter."""
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
            self.lines = self._ends + (not data.endswith(b"\n"))  # a last line without its end counts
        return True

    def read(self, start: int, stop: int) -> list[str]:
        stop = min(stop, self.lines)
        lines: list[str] = []
        while start + len(lines) < stop and (piece := self._read_piece(start + len(lines), stop)):
            lines += piece
        return lines

    def _read_piece(self, start: int, stop: int) -> list[str]:
        """The first of these lines: as many as are whole in a bounded piece of the file, at least one."""
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
        """Where a line starts: behind the `line`-th line end."""
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
    """The lines of a file that may grow, be replaced or not exist yet."""

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
        """Take in what was written since. Raises OSError when the file cannot be read."""
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
            self._inode = 0  # cut short while we read: start over next time
        self.complete = segment.size >= status.st_size
        return segment.size != before or self.complete != was_complete

    def read(self, start: int, stop: int) -> list[str]:
        """Lines by number."""
        return self._segment.read(start, stop) if self._segment else []

    def tail(self, count: int) -> list[str]:
        """The last lines, without an index."""
        return (self._segment or self._open()).tail(count)

    def _open(self) -> _Segment:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._inode = os.fstat(descriptor).st_ino
        self._segment = segment = _Segment(descriptor)
        self.generation += 1
        self.complete = False
        return segment


class LineSpool:
    """Lines that come from somewhere else (a container), kept in a bounded file without a name.

    At most `limit` bytes are kept; older lines go, and `dropped` counts them. One thread adds, others read.
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
        """Append lines, without their ends."""
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
        changed, self._changed = self._changed, False
        return changed

    def read(self, start: int, stop: int) -> list[str]:
        """Lines by number, of those still kept."""
        with self._lock:
            if not self._old:
                return self._new.read(start, stop)
            split = self._old.lines
            lines = self._old.read(start, min(stop, split)) if start < split else []
            return lines + self._new.read(max(0, start - split), max(0, stop - split))

    def tail(self, count: int) -> list[str]:
        """The last lines."""
        return self.read(max(0, len(self) - count), len(self))


def _open_unnamed_file() -> int:
    with tempfile.TemporaryFile(prefix=".xaiva-tmp-") as file:
        return os.dup(file.fileno())


class FilteredLines:
    """The lines of another list that a test accepts, with their own numbers; `number(i)` tells the other list's."""

    def __init__(self, source: Lines, accepts: Callable[[str], object]) -> None:
        self.source = source
        self._accepts = accepts
        self._start_over()

    def _start_over(self) -> None:
        self._numbers = array("Q")  # counted from the very first line, dropped ones included
        self._scanned = self.source.dropped
        self._generation = self.source.generation

    @property
    def dropped(self) -> int:
        """As the other list."""
        return self.source.dropped

    @property
    def generation(self) -> int:
        """As the other list."""
        return self.source.generation

    @property
    def complete(self) -> bool:
        """Whether every line was looked at."""
        return self.source.complete and self._scanned >= self.source.dropped + len(self.source)

    def __len__(self) -> int:
        return len(self._numbers) - self._dropped_matches()

    def number(self, index: int) -> int:
        """The number of a matching line in the other list."""
        return self._numbers[index + self._dropped_matches()] - self.source.dropped

    def update(self) -> bool:
        """Look at what is new, a batch of it; True when anything changed."""
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
        """Matching lines by their own numbers."""
        stop = min(stop, len(self))
        return [line for index in range(start, stop) for line in self._read_line(self.number(index))]

    def tail(self, count: int) -> list[str]:
        """The last matching lines among those looked at."""
        return self.read(max(0, len(self) - count), len(self))

    def _read_line(self, number: int) -> list[str]:
        return self.source.read(number, number + 1)

    def _dropped_matches(self) -> int:
        return bisect_left(self._numbers, self.source.dropped)


def compile_search(text: str) -> re.Pattern[str]:
    """What a user typed as a regular expression; upper case in it makes case matter. Raises re.error."""
    return re.compile(text, 0 if any(char.isupper() for char in text) else re.IGNORECASE)


def find_line(
    source: Lines, pattern: re.Pattern[str], start: int, backwards: bool, stop: Callable[[], bool] = lambda: False
) -> int | None:
    """The number of the next line that matches, from line `start` on and round; None when there is none."""
    for first, last in _batches(len(source), start, backwards):
        if stop():
            return None
        hits = [at for at, line in enumerate(source.read(first, last), first) if pattern.search(line)]
        if hits:
            return hits[-1] if backwards else hits[0]
    return None


def _batches(count: int, start: int, backwards: bool) -> Iterator[tuple[int, int]]:
    """All lines once, in batches, from `start` in the given direction and round."""
    start = min(max(start, -1), count)
    if backwards:
        for high, low in ((min(start + 1, count), 0), (count, start + 1)):
            for end in range(high, low, -_BATCH):
                yield max(low, end - _BATCH), end
    else:
        for low, high in ((max(start, 0), count), (0, max(start, 0))):
            for begin in range(low, high, _BATCH):
                yield begin, min(high, begin + _BATCH)
