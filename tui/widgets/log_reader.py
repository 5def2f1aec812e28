"""Reads a log in a thread of its own and keeps the lines around the view as a window.

A disk or a network mount that hangs blocks only this thread; the view starts another one for the next log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from core.errors import os_reason
from core.log_lines import Lines

PERIOD = 0.25  # seconds between two looks for new lines
THIN_PERIOD = 1.0  # on a thin line


@dataclass(frozen=True)
class LogWindow:
    """Consecutive lines of a log. `start` is the number of the first one, `count` all lines at the time of reading.

    Without `placed` these are the last lines, whose numbers are not known yet because the log is still being counted.
    """

    texts: tuple[str, ...]
    start: int
    count: int
    placed: bool
    generation: int
    dropped: int

    @property
    def ends(self) -> bool:
        """Whether the window reaches the end of the log."""
        return not self.placed or self.start + len(self.texts) >= self.count

    def covers(self, start: int, stop: int) -> bool:
        """Whether the window has all existing lines from `start` up to `stop`."""
        return self.placed and self.start <= start and min(stop, self.count) <= self.start + len(self.texts)

    def between(self, start: int, stop: int) -> tuple[str, ...]:
        """The lines from `start` up to `stop`, which the window must cover."""
        return self.texts[start - self.start : stop - self.start]


@dataclass(frozen=True)
class LineRange:
    """The lines from `start` up to `stop`, or the last `stop` lines when `start` is None."""

    start: int | None
    stop: int


class LogWindowReader:
    """Counts the lines of one log and keeps `window` at the requested range. Calls `on_change` in its thread."""

    def __init__(
        self, lines: Lines, line_range: LineRange, on_change: Callable[[], object], is_low_bandwidth: Callable[[], bool]
    ) -> None:
        self.lines = lines
        self.window: LogWindow | None = None
        self.error = ""  # why the log cannot be read
        self._line_range = line_range
        self._on_change = on_change
        self._is_low_bandwidth = is_low_bandwidth
        self._wake = threading.Event()
        self._closed = False
        self._tail_read_at = 0.0  # when the end of a log that is still being counted was read
        threading.Thread(target=self._run, name="log-reader", daemon=True).start()

    def set_range(self, line_range: LineRange) -> None:
        """Keep the window at this range from now on."""
        if line_range != self._line_range:
            self._line_range = line_range
            self._wake.set()

    def close(self) -> None:
        """End the thread as soon as the disk answers."""
        self._closed = True
        self._wake.set()

    def _run(self) -> None:
        changed, first = False, True
        while not self._closed:
            window, error = self.window, ""
            try:
                changed = not first and self.lines.update()  # at first the end: it shows before all is counted
                window = self._read(self._line_range, changed)
            except OSError as failure:
                changed, error = False, os_reason(failure)
            if self._closed:
                return
            if changed or window is not self.window or error != self.error:
                self.window, self.error = window, error
                self._on_change()
            if not first and (not changed or self.lines.complete):
                self._wake.wait(THIN_PERIOD if self._is_low_bandwidth() else PERIOD)
                self._wake.clear()
            first = False

    def _read(self, line_range: LineRange, changed: bool) -> LogWindow | None:
        """The requested lines; they are read from disk only when the last window does not cover them."""
        lines, old = self.lines, self.window
        if line_range.start is None and not lines.complete:
            return self._tail(line_range.stop)
        count, generation, dropped = len(lines), lines.generation, lines.dropped
        start, stop = (
            (max(0, count - line_range.stop), count)
            if line_range.start is None
            else (line_range.start, line_range.stop)
        )
        if old is not None and old.covers(start, stop) and (old.generation, old.dropped) == (generation, dropped):
            if not changed:
                return old
            if not old.ends:  # else its last line may have grown
                return replace(old, count=count)
        texts = lines.read(start, stop)
        return LogWindow(tuple(texts), start, count, True, generation, dropped)

    def _tail(self, count: int) -> LogWindow | None:
        """The last lines, read once a period while the log is still being counted."""
        lines, now = self.lines, time.monotonic()
        if self.window is not None and now - self._tail_read_at < PERIOD:
            return self.window
        self._tail_read_at = now
        try:
            return LogWindow(tuple(lines.tail(count)), 0, len(lines), False, lines.generation, lines.dropped)
        except OSError:  # looking for more lines will say why
            return self.window
