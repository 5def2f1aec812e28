"""The log view: any size at once, follows, scrolls both ways or wraps. `LogPanel` puts search and status around it.

Reading and counting happen in a thread; what the screen needs is read when it is drawn. New lines are shown a few
times a second, however fast they pour; keys are answered at once.
"""

from __future__ import annotations

import re
import threading
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from core.logs import Lines
from tui.present.cells import Line
from tui.widgets.lines import ROLE_CLASSES, Brush
from tui.widgets.log_lines import dress, fold

PERIOD = 0.25  # seconds between two looks for new lines
THIN_PERIOD = 1.0  # on a thin line
_SIDE = 8  # columns one step to the side moves
_STRIPS = 512  # drawn lines kept
_WHEEL = 3  # lines one notch of the wheel moves


class LogView(Widget, can_focus=True):
    """Shows one `Lines`. Posts `Changed` when what a status line says may have changed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = ROLE_CLASSES
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
        """Lines came, or the view moved."""

        def can_replace(self, message: Message) -> bool:
            """Only the newest counts."""
            return isinstance(message, LogView.Changed)

    class Grown(Message):
        """From the reading thread: there is more."""

        def can_replace(self, message: Message) -> bool:
            """Only the newest counts."""
            return isinstance(message, LogView.Grown)

    def __init__(self, lines: Lines | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines = lines
        self.follow = True
        self.wrap = False
        self.wanted: re.Pattern[str] | None = None
        self.hit: int | None = None  # the line found last
        self.error = ""  # why the log cannot be read
        self.top = 0  # the first line shown
        self._row = 0  # and, when wrapped, its first row shown
        self._owed = 0  # rows to scroll as soon as all lines are counted
        self._left = 0  # columns scrolled to the side
        self._seen = (0, 0)  # generation and dropped lines when last drawn
        self._rows: list[Line] | None = None
        self._brush = Brush(self)
        self._strips: dict[Line, Strip] = {}
        self._wake = threading.Event()
        self._stop = threading.Event()

    # -- what others call ------------------------------------------------------

    def show(self, lines: Lines | None) -> None:
        """Show another log, from its end."""
        self.lines = lines
        self.error = ""
        self.follow = True
        self.top = self._row = self._left = self._owed = 0
        self._strips.clear()
        self._wake.set()
        self.redraw()

    def mark(self, wanted: re.Pattern[str] | None) -> None:
        """Mark what matches in the lines shown."""
        self.wanted = wanted
        self.redraw()

    def go_to(self, line: int) -> None:
        """Bring a line into view, a third of the way down unless it is there already."""
        if not self.top <= line < self.top + max(1, self.size.height - 1):
            self.top = line - self.size.height // 3
            self._row = 0
        self.follow = False
        self._settle()
        self.redraw()

    @property
    def text(self) -> str:
        """The lines in view, in full."""
        if self.lines is None:
            return ""
        return "\n".join(self.lines.read(self.top, self.top + max(1, self.size.height)))

    # -- life ------------------------------------------------------------------

    def on_mount(self) -> None:
        """Begin to read, once the end is on the screen."""
        reader = threading.Thread(target=self._read_on, name="log-reader", daemon=True)
        self.call_after_refresh(reader.start)

    def on_unmount(self) -> None:
        """Read no more."""
        self._stop.set()
        self._wake.set()

    def _read_on(self) -> None:
        """In a thread: keep the index up to date and tell the screen, at most once a period."""
        while not self._stop.is_set():
            lines = self.lines
            try:
                changed = lines.update() if lines is not None else False
                error = ""
            except OSError as failure:
                changed, error = False, failure.strerror or str(failure)
            if self._stop.is_set():
                return
            if changed or error != self.error:
                self.error = error
                self.post_message(self.Grown())
            if not changed or lines is None or lines.complete:
                self._wake.wait(THIN_PERIOD if getattr(self.app, "low_bandwidth", False) else PERIOD)
                self._wake.clear()

    def on_log_view_grown(self, message: Grown) -> None:
        """Show what has come, if it can be seen."""
        message.stop()
        lines = self.lines
        if lines is None:
            return
        if self._owed and lines.complete:
            rows, self._owed = self._owed, 0
            self.action_scroll(rows)
        generation, dropped = self._seen
        if lines.generation != generation:
            self.top = self._row = 0
        elif lines.dropped > dropped:
            self.top = max(0, self.top - (lines.dropped - dropped))
        room_below = len(lines) - self.top <= self.size.height + 1
        if self.follow or room_below or (lines.generation, lines.dropped) != self._seen or self.error:
            self.redraw()
        else:
            self.post_message(self.Changed())

    def on_resize(self) -> None:
        """The size is part of the content."""
        self._strips.clear()
        self.redraw()

    def notify_style_update(self) -> None:
        """The theme changed."""
        super().notify_style_update()
        self._brush.forget()
        self._strips.clear()

    # -- drawing ---------------------------------------------------------------

    def redraw(self) -> None:
        """Draw anew, with what is there now."""
        self._rows = None
        self.refresh()
        self.post_message(self.Changed())

    def render_line(self, y: int) -> Strip:
        """One row."""
        rows = self._shown_rows()
        line = rows[y] if y < len(rows) else ()
        found = self._strips.get(line)  # most of what a scrolled log shows was shown just now, a line further on
        if found is None:
            if len(self._strips) > _STRIPS:
                self._strips.clear()
            found = self._strips[line] = self._draw(line)
        return found

    def _draw(self, line: Line) -> Strip:
        width = self.size.width
        if not self._left:
            return self._brush.strip(line, width)
        strip = Strip([Segment(text, self._brush.style(role)) for text, role in line])
        return strip.crop(self._left).adjust_cell_length(width, self._brush.style(""))

    def _shown_rows(self) -> list[Line]:
        if self._rows is None:
            self._rows = self._compose_rows()
        return self._rows

    def _compose_rows(self) -> list[Line]:
        lines, width, height = self.lines, self.size.width, self.size.height
        if lines is None or not width:
            return []
        self._seen = (lines.generation, lines.dropped)
        if self.follow:
            return self._last_rows(lines, width, height)
        self._settle()
        texts = lines.read(self.top, self.top + height)
        return self._dressed(texts, width)[self._row : self._row + height]

    def _last_rows(self, lines: Lines, width: int, height: int) -> list[Line]:
        """The end of the log; where it lies is known only once all lines are counted."""
        if lines.complete:
            texts = lines.read(max(0, len(lines) - height), len(lines))
        else:
            try:
                texts = lines.tail(height)
            except OSError:
                texts = []
        rows: list[Line] = []
        used = 0
        for text in reversed(texts):
            used += 1
            rows[:0] = self._dressed([text], width)
            if len(rows) >= height:
                break
        self.top = max(0, len(lines) - used)
        self._row = max(0, len(rows) - height)
        return rows[-height:]

    def _dressed(self, texts: list[str], width: int) -> list[Line]:
        dressed = [dress(text, self.wanted) for text in texts]
        return [row for line in dressed for row in fold(line, width)] if self.wrap else dressed

    def _settle(self) -> None:
        """Keep the first line within the log."""
        count = len(self.lines) if self.lines is not None else 0
        last = count - 1 if self.wrap else count - self.size.height
        if not 0 <= self.top <= max(0, last):
            self.top = min(max(0, self.top), max(0, last))
            self._row = 0

    # -- keys ------------------------------------------------------------------

    def action_scroll(self, rows: int) -> None:
        """Some rows down (or up)."""
        if self.lines is None:
            return
        if self.follow and not self.lines.complete:
            self._owed += rows  # where the end lies is not known yet: as soon as it is
            return
        if self.follow:
            self._compose_rows()  # from where the end lies now
        self.follow = False
        if self.wrap:
            self._scroll_wrapped(rows)
        else:
            self.top += rows
        self._settle()
        self.follow = rows > 0 and self._at_end()
        self.redraw()

    def _scroll_wrapped(self, rows: int) -> None:
        assert self.lines is not None
        self._row += rows
        while self._row < 0 and self.top > 0:
            self.top -= 1
            self._row += self._height_of(self.top)
        while self._row >= (height := self._height_of(self.top)) and self.top < len(self.lines) - 1:
            self.top += 1
            self._row -= height
        self._row = min(max(0, self._row), max(0, self._height_of(self.top) - 1))

    def _height_of(self, number: int) -> int:
        assert self.lines is not None
        return len(self._dressed(self.lines.read(number, number + 1), self.size.width))

    def _at_end(self) -> bool:
        lines = self.lines
        if lines is None or self.top + self.size.height < len(lines):
            return False
        texts = lines.read(self.top, len(lines))
        return len(self._dressed(texts, self.size.width)) - self._row <= self.size.height

    def action_page(self, pages: int) -> None:
        """A screenful, less one line."""
        self.action_scroll(pages * max(1, self.size.height - 1))

    def action_first(self) -> None:
        """The first line."""
        self.follow = False
        self.top = self._row = 0
        self.redraw()

    def action_follow(self) -> None:
        """The last line, and those that come; again: stay here."""
        self.follow = not (self.follow and self._at_end())
        self.redraw()

    def action_side(self, steps: int) -> None:
        """To the side."""
        if not self.wrap:
            widest = max((sum(cell_len(span.text) for span in row) for row in self._shown_rows()), default=0)
            farthest = max(self._left, widest - self.size.width // 2)
            self._left = min(max(0, self._left + steps * _SIDE), max(0, farthest))
            self._strips.clear()
            self.redraw()

    def action_wrap(self) -> None:
        """Long lines over several rows, or cut."""
        self.wrap = not self.wrap
        self._left = self._row = 0
        self._strips.clear()
        self.redraw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel."""
        event.stop()
        self.action_scroll(_WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel."""
        event.stop()
        self.action_scroll(-_WHEEL)
