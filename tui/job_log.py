"""Reads a log of a job of the service in a thread and keeps it on disk, so that it can be long and searched."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from core.api_schema import JobLog
from core.errors import InputError, XaivaError
from core.log_lines import LineSpool

SPOOL_BYTES = 64 << 20
PERIOD = 1.0  # seconds between two questions for more lines
LOW_BANDWIDTH_PERIOD = 4.0
_STAMPED = re.compile(r"(\d\d:\d\d:\d\d) (.*)")  # how the service writes a line with its time


class FollowedJobLog:
    """The log of one job; `lines` grows until the job has ended or `close` is called."""

    def __init__(self, read: Callable[[int], JobLog], is_slow: Callable[[], bool]) -> None:
        """`read(offset)` gives the part of the log from there on and raises XaivaError; `is_slow`: low bandwidth."""
        self.lines = LineSpool(SPOOL_BYTES)
        self._read = read
        self._is_slow = is_slow
        self._closed = threading.Event()
        self.thread = threading.Thread(target=self._follow, name="job-log", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Ask for no more lines."""
        self._closed.set()

    def _follow(self) -> None:
        offset, silent = 0, False
        while not self._closed.is_set():
            try:
                part = self._read(offset)
            except XaivaError as error:
                gone = isinstance(error, InputError)
                if gone or not silent:
                    self.lines.add([f"[{error.summary}{'' if gone else '; trying again'}]"])
                if gone:
                    return
                silent = True
            else:
                silent = False
                if part.lines:
                    self.lines.add(map(_stamped_line, part.lines))
                moved, offset = part.next > offset, max(part.next, offset)
                if part.end:
                    return
                if moved:  # there may be more
                    continue
            self._closed.wait(LOW_BANDWIDTH_PERIOD if self._is_slow() else PERIOD)


def _stamped_line(line: str) -> str:
    """The line as the log view expects one with a time."""
    stamped = _STAMPED.fullmatch(line)
    return f"{stamped[1]}\t\t{stamped[2]}" if stamped else line
