"""The standard streams of the command line. A full disk or a closed stream is reported like any other error."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

from core.errors import XaivaError

_FAILED = "The output cannot be written"


class OutputFailed(OSError):
    """Standard output cannot be written. If its reader has exited, BrokenPipeError is raised instead."""

    def error(self) -> XaivaError:
        """The error in a form for users."""
        full = self.errno in (errno.ENOSPC, errno.EDQUOT)
        return XaivaError(
            _FAILED, self.strerror or "", "free some space there, or write the output elsewhere" if full else ""
        )


class _Output(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputFailed(error.errno, error.strerror) from error


class _ErrorOutput(io.FileIO):
    """Ignores write errors; the exit code still reports the failure."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data).cast("B"))


def prepare_streams() -> None:
    """Replace the streams of this process. Raises XaivaError if standard output is closed."""
    # A file opened later must not get the number of a closed stream, or output would be written to it.
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    closed = sys.stdout is None
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout, sys.stderr = _text(_Output, 1, sys.stdout), _text(_ErrorOutput, 2, sys.stderr)
    if closed:
        raise XaivaError(_FAILED, "standard output is closed", "redirect it to /dev/null instead")


def silence_output() -> None:
    """Discard unwritten output, about which the interpreter would complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _text(kind: type[io.FileIO], number: int, before: object) -> io.TextIOWrapper:
    """A text stream that escapes characters which cannot be encoded."""
    raw = kind(number, "w", closefd=False)
    encoding = before.encoding if isinstance(before, io.TextIOWrapper) else "utf-8"
    lines = kind is _ErrorOutput or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=lines)
