"""The log view: it opens logs of any size at once, follows, and wraps long lines or scrolls in both directions.

`LogPanel` adds search and a status line.

A thread (`LogWindowReader`) reads the log and keeps some screens of lines around the view. Most keys need no more than
those. Lines farther away are drawn when they have arrived; until then the old ones stay. New lines are shown a few
times a second, however fast they arrive.
"""

from __future__ import annotations

import re
from functools import partial
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from core.log_lines import Lines
from tui.formatters.cells import Line
from tui.widgets.log_lines import fold_line, format_log_line, without_stamp
from tui.widgets.log_reader import LineRange, LogWindow, LogWindowReader
from tui.widgets.role_styles import RoleStyled

LATE_SECONDS = 0.3  # the view says that it waits for the disk when lines take longer than this
_SCREENS_AROUND = 2  # screens of lines kept in memory above and below the view
_SIDE_COLUMNS = 8  # columns one step to the side moves
_MAX_STRIPS = 512  # drawn lines kept
_WHEEL_LINES = 3  # lines one notch of the wheel moves


class LogView(RoleStyled, Widget, can_focus=True):
    """Shows one `Lines`. Posts `Changed` when a status line may need an update."""

    DEFAULT_CSS = "LogView { height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("pagedown,space,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,b,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home,g", "first", "First line", show=False),
        Binding("end,G", "follow", "Last line, follow", show=False),
        Binding("right,l", "side(1)", "Right", show=False),
        Binding("left,h", "side(-1)", "Left", show=False),
        Binding("w", "wrap", "Wrap", show=False),
        Binding("f", "follow", "Follow", show=False),
    ]

    class Changed(Message):
        """Lines arrived, or the view moved."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LogView.Changed)

    class LinesArrived(Message):
        """Sent by the reading thread: it has a new window or an error."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LogView.LinesArrived)

    def __init__(self, lines: Lines | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines = lines
        self.follow = True
        self.wrap = True
        self.stamps = True  # whether the times of the lines are shown, where they have some
        self.search_pattern: re.Pattern[str] | None = None
        self.hit: int | None = None  # the line found last
        self.waits_for_disk = False  # whether lines are late
        self.top = 0  # the first line shown
        self._row = 0  # and, when wrapped, its first row shown
        self._pending_scroll = 0  # rows to scroll once their lines have arrived
        self._downwards = False  # whether reaching the end starts to follow
        self._left = 0  # columns scrolled to the side
        self._reader: LogWindowReader | None = None
        self._requested_range = LineRange(None, 0)
        self._window: LogWindow | None = None
        self._texts: tuple[str, ...] = ()  # the lines in view
        self._rows: list[Line] = []
        self._late_timer: Timer | None = None
        self._strips: dict[Line, Strip] = {}

    # -- what others call ------------------------------------------------------

    def show(self, lines: Lines | None) -> None:
        """Show another log, from its end."""
        self.lines = lines
        self.follow = True
        self.top = self._row = self._left = self._pending_scroll = 0
        self._window = None
        self._strips.clear()
        self._start_reader()
        self.redraw()

    def highlight(self, pattern: re.Pattern[str] | None) -> None:
        """Highlight matches in the lines in view."""
        self.search_pattern = pattern
        self.redraw()

    def go_to(self, line: int) -> None:
        """Bring a line into view, a third of the way down unless it is visible already."""
        whole = self.lines_in_view[1 if self._row else 0 : -1]  # the others may be there in part
        if line not in whole:
            self.top, self._row = line, 0
            self._pending_scroll = -(self.size.height // 3)
        self.follow = self._downwards = False
        self._apply_scroll()
        self.redraw()

    @property
    def text(self) -> str:
        """The lines in view, in full."""
        return "\n".join(map(self.shown_text, self._texts))

    @property
    def lines_in_view(self) -> range:
        """The numbers of the lines in view. The first and the last may be there in part."""
        return range(self.top, self.top + len(self._texts))

    def shown_text(self, text: str) -> str:
        """A line as it is searched and copied: without its time when times are not shown."""
        return text if self.stamps else without_stamp(text)

    def show_stamps(self, stamps: bool) -> None:
        """Show the times of the lines, or hide them."""
        self.stamps = stamps
        self._row = 0
        self.redraw()

    @property
    def error(self) -> str:
        """Why the log cannot be read."""
        return self._reader.error if self._reader is not None else ""

    # -- life ------------------------------------------------------------------

    def on_unmount(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _start_reader(self) -> None:
        """Start a reader. Each log has a thread of its own, because the previous one may hang."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        if self.lines is not None and self.size.height:
            self._requested_range = LineRange(None, self._screens(1 + _SCREENS_AROUND))
            is_low_bandwidth = partial(getattr, self.app, "low_bandwidth", False)
            self._reader = LogWindowReader(
                self.lines, self._requested_range, lambda: self.post_message(self.LinesArrived()), is_low_bandwidth
            )

    def on_log_view_lines_arrived(self, message: LinesArrived) -> None:
        """Take the new window, and draw again."""
        message.stop()
        if self._reader is None or self._reader.window is None:
            self.post_message(self.Changed())  # it cannot be read
            return
        before, self._window = self._window, self._reader.window
        if before is not None and before.generation != self._window.generation:
            self.top = self._row = 0
        elif before is not None:
            self.top = max(0, self.top - (self._window.dropped - before.dropped))
        self._apply_scroll()
        self.redraw()

    def on_resize(self) -> None:
        """Draw again: the size decides which lines are needed."""
        self._strips.clear()
        self._row = 0
        if self._reader is None:
            self._start_reader()
        self.redraw()

    def notify_style_update(self) -> None:
        """Draw the lines again: the theme may have changed."""
        super().notify_style_update()
        self._strips.clear()

    # -- drawing ---------------------------------------------------------------

    def redraw(self) -> None:
        """Draw the current lines, now or as soon as they have arrived."""
        rows = self._compose_rows()
        self._set_missing(rows is None)
        if rows is not None and rows != self._rows:
            self._rows = rows
            self.refresh()
        self._request_lines()
        self.post_message(self.Changed())

    def _set_missing(self, missing: bool) -> None:
        if self._late_timer is not None and not missing:
            self._late_timer.stop()
            self._late_timer, self.waits_for_disk = None, False
        elif self._late_timer is None and missing:
            self._late_timer = self.set_timer(LATE_SECONDS, self._show_late)

    def _show_late(self) -> None:
        """Clear the view: what it shows may belong to another log or place."""
        self.waits_for_disk = True
        self._rows, self._texts = [], ()
        self.refresh()
        self.post_message(self.Changed())

    def render_line(self, y: int) -> Strip:
        line = self._rows[y] if y < len(self._rows) else ()
        strip = self._strips.get(line)  # most lines of a scrolled log were drawn before
        if strip is None:
            if len(self._strips) > _MAX_STRIPS:
                self._strips.clear()
            strip = self._strips[line] = self._draw_strip(line)
        return strip

    def _draw_strip(self, line: Line) -> Strip:
        width = self.size.width
        if not self._left:
            return self.role_strip(line, width)
        strip = Strip([Segment(text, self.role_style(role)) for text, role in line])
        return strip.crop(self._left).adjust_cell_length(width, self.role_style(""))

    def _screens(self, number: int) -> int:
        """The number of lines in so many screens."""
        return number * max(1, self.size.height)

    def _request_lines(self) -> None:
        """Request the lines around the view."""
        if self._reader is None:
            return
        requested, around = self._requested_range, self._screens(_SCREENS_AROUND)
        if self.follow:
            self._requested_range = LineRange(None, self._screens(1 + _SCREENS_AROUND))
        elif (
            requested.start is None
            or requested.start > max(0, self.top - around // 2)
            or requested.stop < self.top + self._screens(1) + around // 2
        ):
            self._requested_range = LineRange(max(0, self.top - around), self.top + self._screens(1) + around)
        self._reader.set_range(self._requested_range)

    def _compose_rows(self) -> list[Line] | None:
        """The rows in view; None while their lines have not arrived."""
        window, height = self._window, self.size.height
        if self.lines is None or not self.size.width:
            return []
        if window is None:
            return None
        if self.follow:
            return self._last_rows(window, height) if self._has_end(window) else None
        self._clamp_top(window)
        if not window.covers(self.top, self.top + height):
            return None
        rows: list[Line] = []
        used = 0
        for text in window.between(self.top, self.top + height):
            if len(rows) >= self._row + height:
                break
            rows += self._formatted_rows(text)
            used += 1
        self._texts = window.between(self.top, self.top + used)
        if self._downwards and self.top + used >= window.count and len(rows) - self._row <= height:
            self.follow = True
        return rows[self._row : self._row + height]

    def _has_end(self, window: LogWindow) -> bool:
        """Whether the window has the last lines of the log, enough to fill the view."""
        return not window.placed or window.covers(max(0, window.count - self.size.height), window.count)

    def _last_rows(self, window: LogWindow, height: int) -> list[Line]:
        rows: list[Line] = []
        used = 0
        for text in reversed(window.texts[-height:]):
            used += 1
            rows[:0] = self._formatted_rows(text)
            if len(rows) >= height:
                break
        self._texts = window.texts[len(window.texts) - used :]
        self.top = max(0, window.count - used)
        self._row = max(0, len(rows) - height)
        return rows[-height:]

    def _formatted_rows(self, text: str) -> list[Line]:
        """The rows of one line."""
        line = format_log_line(text, self.search_pattern, self.stamps)
        return fold_line(line, self.size.width) if self.wrap else [line]

    def _clamp_top(self, window: LogWindow) -> None:
        """Keep the first line within the log."""
        last = window.count - 1 if self.wrap else window.count - self.size.height
        if not 0 <= self.top <= max(0, last):
            self.top = min(max(0, self.top), max(0, last))
            self._row = 0

    # -- keys ------------------------------------------------------------------

    def action_scroll(self, rows: int) -> None:
        """Some rows down (or up)."""
        if self.lines is not None:
            self._pending_scroll += rows
            self._apply_scroll()
            self.redraw()

    def _apply_scroll(self) -> None:
        """Scroll by the pending rows, as far as the heights of the lines are known."""
        window = self._window
        if (
            not self._pending_scroll
            or window is None
            or (self.follow and not (window.placed and self._has_end(window)))
        ):
            return
        if self.follow:
            self._last_rows(window, self.size.height)  # from where the end lies now
        rows, self._pending_scroll = self._pending_scroll, 0
        self.follow, self._downwards = False, rows > 0
        if not self.wrap:
            self.top += rows
            self._clamp_top(window)
            return
        self._row += rows
        while self._row < 0 and self.top > 0:
            height = self._height_of(window, self.top - 1)
            if not height:
                self._pending_scroll, self._row = self._row, 0
                return
            self.top -= 1
            self._row += height
        while (height := self._height_of(window, self.top)) and self._row >= height and self.top < window.count - 1:
            self.top += 1
            self._row -= height
        if not height and self.top < window.count:
            self._pending_scroll, self._row = self._row, 0
        else:
            self._row = min(max(0, self._row), max(0, height - 1))

    def _height_of(self, window: LogWindow, number: int) -> int:
        """The number of rows a line takes; 0 while its text has not arrived."""
        if not window.covers(number, number + 1):
            return 0
        return sum(len(self._formatted_rows(text)) for text in window.between(number, number + 1))

    def action_page(self, pages: int) -> None:
        """A screenful, less one line."""
        self.action_scroll(pages * max(1, self.size.height - 1))

    def action_first(self) -> None:
        self.follow = self._downwards = False
        self.top = self._row = self._pending_scroll = 0
        self.redraw()

    def action_follow(self) -> None:
        """Follow the end of the log, or stop following."""
        self.follow = not self.follow
        self._pending_scroll, self._downwards = 0, False
        self.redraw()

    def action_side(self, steps: int) -> None:
        if not self.wrap:
            widest = max((sum(cell_len(span.text) for span in row) for row in self._rows), default=0)
            farthest = max(self._left, widest - self.size.width // 2)
            self._left = min(max(0, self._left + steps * _SIDE_COLUMNS), max(0, farthest))
            self._strips.clear()
            self.refresh()

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.wrap = not self.wrap
        self._left = self._row = 0
        self._strips.clear()
        self.refresh()
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_scroll(_WHEEL_LINES)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_scroll(-_WHEEL_LINES)
