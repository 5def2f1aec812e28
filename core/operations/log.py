"""An operation's log: a text file of bounded size that people can read with `less`. One writer, many readers.

A line is `HH:MM:SS<tab>stage<tab>text`. When the file would exceed its limit, its middle is dropped: the first and the
last quarter stay, and a marker line between them says how many bytes are missing. Offsets are logical: they include
the dropped bytes, so that a reader's offset stays valid.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from core.errors import os_reason
from core.files import TEMPORARY_PREFIX
from core.log_lines import clean_line
from core.operations.model import TRACEBACK, OperationLogLine

MAX_LINE_CHARACTERS = 64 << 10  # a longer line is cut and says so
READ_SIZE = 1 << 20
_TAIL_BYTES = 8 * MAX_LINE_CHARACTERS  # more than the longest line has, in any script
_GAP = b"\n--:--:--\t\t["  # a real line starts with a time, so nothing in a log can look like this
_GAP_BYTES = re.compile(rb"\[(\d+) bytes")


def draft_path(path: Path) -> Path:
    """The temporary file in which a log is rewritten without its middle."""
    return path.with_name(f"{TEMPORARY_PREFIX}{path.name}")


class LogWriter:
    """Appends lines to `path` and keeps it within `limit` bytes.

    On a full disk lines are lost; the log then says how many. `write` raises no OSError.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._lost_lines = 0
        self._write_error = ""
        self._file = self._open(path)
        self._size = os.fstat(self._file).st_size

    def write(self, lines: Iterable[tuple[str, str]]) -> None:
        """Append (stage, text) lines in one write."""
        clock = time.strftime("%H:%M:%S")
        rows = [f"{clock}\t{clean_line(stage)}\t{clean_line(text, MAX_LINE_CHARACTERS)}\n" for stage, text in lines]
        if self._lost_lines:
            rows.insert(0, f"{clock}\t\t[{self._lost_lines} lines could not be written here: {self._write_error}]\n")
        data = "".join(rows).encode(errors="replace")
        try:
            if self._size and self._size + len(data) > self._limit:
                self._drop_middle()
            self._append(data)
            self._lost_lines = 0
        except OSError as error:
            self._lost_lines += len(rows) - (1 if self._lost_lines else 0)
            self._write_error = os_reason(error)

    def close(self) -> None:
        """Write how many lines were lost, if there is room now, and close the file."""
        if self._lost_lines:
            self.write([])
        os.close(self._file)

    @staticmethod
    def _open(path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def _append(self, data: bytes) -> None:
        written_bytes = os.write(self._file, data)
        if written_bytes < len(data):  # the disk filled up in the middle of a line: remove the incomplete line
            os.ftruncate(self._file, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written_bytes

    def _drop_middle(self) -> None:
        with mmap.mmap(self._file, 0, access=mmap.ACCESS_READ) as content:
            head, tail_from, dropped = _plan_cut(content, self._limit // 4)
            marker = (
                f"--:--:--\t\t[{dropped} bytes left out here to keep this log within {self._limit} bytes]\n".encode()
            )
            shortened = draft_path(self._path)
            try:
                shortened.unlink(missing_ok=True)
                with open(shortened, "xb") as file:
                    file.write(content[:head])
                    file.write(marker)
                    file.write(content[tail_from:])
            except OSError:  # no room for a copy: drop the tail as well, so that the log can continue
                shortened.unlink(missing_ok=True)
                dropped += len(content) - tail_from
                tail_from = len(content)
        if tail_from == self._size:
            marker = re.sub(rb"\d+ bytes left", b"%d bytes left" % dropped, marker)
            os.ftruncate(self._file, head)
            self._size = head
            self._append(marker)
            return
        os.replace(shortened, self._path)
        os.close(self._file)
        self._file = self._open(self._path)
        self._size = os.fstat(self._file).st_size


def _plan_cut(content: mmap.mmap, quarter: int) -> tuple[int, int, int]:
    """Where the head to keep ends, where the tail to keep starts, and how many bytes are left out in total."""
    gap = _find_gap(content)
    head = gap.start if gap else content.find(b"\n", quarter) + 1
    tail_from = content.find(b"\n", max(head, len(content) - quarter)) + 1 or len(content)
    if not gap:
        return head, tail_from, tail_from - head
    tail_from = max(tail_from, gap.end)
    return head, tail_from, gap.dropped + tail_from - gap.end


@dataclass(frozen=True)
class _Gap:
    """The marker line, at [start, end) of the file; it stands for `dropped` bytes of the log."""

    start: int
    end: int
    dropped: int

    def to_logical(self, position: int) -> int:
        """The logical offset of a position in the file."""
        return position if position <= self.start else position - self.end + self.start + self.dropped

    def to_position(self, logical: int) -> int:
        """The position in the file of a logical offset; that of dropped bytes is the marker's."""
        if logical <= self.start:
            return logical
        past_gap = logical - self.start - self.dropped
        return self.end + past_gap if past_gap >= 0 else self.start


def _find_gap(content: mmap.mmap) -> _Gap | None:
    at = content.find(_GAP)
    if at < 0:
        return None
    end = content.find(b"\n", at + 1) + 1
    match = _GAP_BYTES.search(content[at:end])
    return _Gap(at + 1, end, int(match[1])) if match and end else None


class LogReader:
    """Reads whole lines from a logical offset on, while the writer may append more."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._file = -1
        self._position = 0  # of `offset` in the file
        self._inode = 0
        self._gap: _Gap | None = None
        self.offset = offset

    def read(self, most: int = 0) -> list[OperationLogLine]:
        """The next lines, at most about a megabyte and `most` lines (0: any number); empty when there are none yet."""
        if self._file < 0 and not self._open():
            return []
        data = self._chunk(most)
        if not data and self._replaced():
            self.close()
            if not self._open():
                return []
            data = self._chunk(most)
        self._position += len(data)
        self.offset = self._gap.to_logical(self._position) if self._gap else self._position
        return [_parse_line(line) for line in data.decode(errors="replace").split("\n")[:-1]]

    def close(self) -> None:
        """Close the file; a later read opens it again at the same offset."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _chunk(self, most: int) -> bytes:
        data = os.pread(self._file, READ_SIZE, self._position)
        end = data.rfind(b"\n") + 1
        if most and data.count(b"\n", 0, end) > most:
            end = 0
            for _ in range(most):
                end = data.index(b"\n", end) + 1
        return data[:end]

    def _replaced(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            now = os.stat(self._path)
            return now.st_ino != self._inode or now.st_size < self._position
        return False

    def _open(self) -> bool:
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        status = os.fstat(self._file)
        self._inode = status.st_ino
        self._gap = None
        if status.st_size:
            with mmap.mmap(self._file, 0, access=mmap.ACCESS_READ) as content:
                self._gap = _find_gap(content)
        position = self._gap.to_position(self.offset) if self._gap else self.offset
        self._position = min(position, status.st_size)
        return True


def tail(path: Path, count: int) -> list[str]:
    """The texts of the last `count` lines of a log, without tracebacks; empty when there is no log."""
    try:
        with open(path, "rb") as file:
            start = max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0)
            file.seek(start)
            lines = file.read().decode(errors="replace").split("\n")[:-1]
    except FileNotFoundError:
        return []
    whole = lines[1:] if start else lines  # a part of a line does not tell its stage
    texts = (line.text for line in map(_parse_line, reversed(whole)) if line.stage != TRACEBACK)
    return list(islice(texts, count))[::-1]


def _parse_line(line: str) -> OperationLogLine:
    clock, tab, rest = line.partition("\t")
    stage, second, text = rest.partition("\t")
    return (
        OperationLogLine(clock=clock, stage=stage, text=text)
        if tab and second
        else OperationLogLine(clock="", stage="", text=line)
    )
