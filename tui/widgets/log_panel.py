"""A log view with a search line and a status line: position, filter, dropped lines."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import ClassVar, TypeVar

from textual import on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from core.errors import InputError, os_reason
from core.log_lines import FilteredLines, Lines, compile_search, find_line
from tui.formatters.cells import Span
from tui.widgets.log_lines import without_stamp
from tui.widgets.log_view import LogView
from tui.widgets.role_styles import RoleStyled

T = TypeVar("T")
_COPY_LINES = 100_000  # of the whole log; what is too much for a clipboard goes to a file


class LogStatus(RoleStyled, Widget):
    """The status line. As a widget of its own, it costs one line when it changes."""

    DEFAULT_CSS = "LogStatus { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def show(self, text: str) -> None:
        if text != self.text:
            self.text = text
            self.refresh()

    def render_line(self, y: int) -> Strip:
        return self.role_strip((Span("" if y else self.text, "dim"),), self.size.width)


class LogPanel(Vertical):
    """`show(lines)` shows a log. Keys: `/` searches, `n` `N` go to matches, `&` filters, `t` shows times, `y` `Y` copy.

    A search looks at what is shown, so it finds times only when they are shown.
    """

    DEFAULT_CSS = """
    LogPanel { height: 1fr; }
    LogPanel > Input { display: none; height: 1; border: none; padding: 0 1; }
    LogPanel > Input.-open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "ask('search')", "Search", key_display="/"),
        Binding("ampersand", "ask('filter')", "Filter", key_display="&"),
        Binding("n", "next(False)", "Next", show=False),
        Binding("N", "next(True)", "Previous", show=False),
        Binding("t", "stamps", "Time stamps", show=False),
        Binding("escape", "clear", "Clear search and filter", show=False),
        Binding("y", "copy_shown", "Copy what is shown"),
        Binding("Y", "copy_all", "Copy the whole log", show=False),
    ]

    class Copied(Message):
        """Asks the application to copy a text."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(
        self, lines: Lines | None = None, title: str = "Log", *, stamps: bool = True, id: str | None = None
    ) -> None:
        super().__init__(id=id, classes="panel")
        self._first_stamps = stamps
        self.border_title = title
        self._all_lines = lines
        self._filter: re.Pattern[str] | None = None
        self._input_purpose = "search"
        self._searching = threading.Event()  # set: the search under way is no longer wanted
        self._message = ""

    def compose(self) -> ComposeResult:
        """The view and the search line."""
        view = LogView(self._all_lines)
        view.stamps = self._first_stamps
        yield view
        search = Input()
        search.cursor_blink = False
        yield search
        yield LogStatus()

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    def show(self, lines: Lines | None, title: str | None = None) -> None:
        """Show another log; the filter stays."""
        self._all_lines = lines
        self._searching.set()
        if title is not None:
            self.border_title = title
        self._refilter()

    # -- status ----------------------------------------------------------------

    @on(LogView.Changed)
    def _changed(self, event: LogView.Changed) -> None:
        event.stop()
        self._show_status()

    def _show_status(self) -> None:
        self.query_one(LogStatus).show(self._status_line())

    def _status_line(self) -> str:
        view = self.view
        if view.error:
            return f"cannot read: {view.error}"
        lines = view.lines
        if lines is None:
            return ""
        count = f"{len(lines):,} line{'' if len(lines) == 1 else 's'}"
        parts = [count if lines.complete else f"{count}, counting"]
        if isinstance(lines, FilteredLines) and self._filter:
            parts[0] = f"{len(lines):,} of {len(lines.source):,} match {self._filter.pattern}"
            if not lines.complete:
                parts[0] += ", looking"
        if lines.dropped:
            parts.append(f"{lines.dropped:,} older line{'' if lines.dropped == 1 else 's'} dropped")
        if view.search_pattern and not self._filter:
            parts.append(f"/{view.search_pattern.pattern}")
        if self._message:
            parts.append(self._message)
        if view.waits_for_disk:
            parts.append("waits for the disk")
        parts.append("follows" if view.follow else f"at {view.top + 1:,}")
        return " · ".join(parts)

    def _show_message(self, status: str) -> None:
        self._message = status
        self._show_status()

    # -- search and filter -----------------------------------------------------

    def action_ask(self, purpose: str) -> None:
        """Open the input line; `purpose` is search or filter."""
        self._input_purpose = purpose
        line = self.query_one(Input)
        line.placeholder = f"{purpose}: a regular expression · Enter applies · Esc cancels"
        line.value = (self._filter.pattern if self._filter else "") if purpose == "filter" else ""
        line.add_class("-open")
        line.focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            expression = compile_search(event.value) if event.value else None
        except re.error as error:
            self._show_message(f"not a regular expression: {error}")
            return
        self._close_line()
        if self._input_purpose == "filter":
            self._filter = expression
            self._refilter()
        else:
            self.view.highlight(expression)
            if expression:
                self.action_next(self.view.follow)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()

    def _close_line(self) -> None:
        line = self.query_one(Input)
        line.remove_class("-open")
        self.view.focus()

    def action_clear(self) -> None:
        """Stop a running search and close the input line; if it was closed already, clear search and filter.

        When there is nothing to clear, the key is left to the screen.
        """
        self._searching.set()
        if self.query_one(Input).has_class("-open"):
            self._close_line()
            return
        if not (self._message or self._filter or self.view.search_pattern):
            raise SkipAction
        self._message = ""
        self.view.highlight(None)
        if self._filter:
            self._filter = None
            self._refilter()

    def _refilter(self) -> None:
        lines = self._all_lines
        if lines is not None and self._filter:
            lines = FilteredLines(lines, self._acceptor(self._filter))
        self._message = ""
        if self.is_mounted:
            self.view.search_pattern = self._filter or self.view.search_pattern
            self.view.show(lines)

    def action_next(self, backwards: bool) -> None:
        """Go to the next match. A thread searches, because a long log takes seconds."""
        view = self.view
        lines, search_pattern = view.lines, view.search_pattern
        if lines is None or search_pattern is None:
            return
        accepts = self._acceptor(search_pattern)
        self._searching.set()
        self._searching = stop = threading.Event()
        start = self._search_start(view, len(lines), backwards)
        self._show_message("searching")
        self._in_thread(lambda: find_line(lines, accepts, start, backwards, stop.is_set), self._show_match, stop)

    def _search_start(self, view: LogView, count: int, backwards: bool) -> int:
        last, visible = view.hit, view.lines_in_view
        if last is not None and last in visible:
            return last - 1 if backwards else last + 1
        return (count - 1 if view.follow else visible.stop) if backwards else view.top

    def _acceptor(self, pattern: re.Pattern[str]) -> Callable[[str], object]:
        """Whether a line matches as it is shown: its beginning is that of its text, or that of its time."""
        if not self.view.stamps:
            return lambda text: pattern.search(without_stamp(text))
        return lambda text: pattern.search(text) or pattern.search(without_stamp(text))

    def action_stamps(self) -> None:
        """Show the times of the lines, or hide them."""
        self.view.show_stamps(not self.view.stamps)
        if self._filter:
            self._refilter()

    def _in_thread(self, work: Callable[[], T], done: Callable[[T], object], stop: threading.Event) -> None:
        def run() -> None:
            try:
                result = work()
            except OSError as error:
                self.app.call_later(self._show_message, f"cannot read: {os_reason(error)}")
                return
            if not stop.is_set():
                self.app.call_later(done, result)

        threading.Thread(target=run, name="log-search", daemon=True).start()

    def _show_match(self, hit: int | None) -> None:
        if hit is None:
            self._show_message("not found")
            return
        self.view.hit = hit
        self.view.go_to(hit)
        self._show_message(f"found in line {hit + 1:,}")

    # -- copy ------------------------------------------------------------------

    def action_copy_shown(self) -> None:
        """Copy the lines in view, in full."""
        self.post_message(self.Copied(self.view.text))

    def action_copy_all(self) -> None:
        """Copy the whole log, or all lines that pass the filter."""
        lines = self.view.lines
        if lines is None:
            return
        if len(lines) > _COPY_LINES:
            error = InputError(f"{len(lines):,} lines", f"more than {_COPY_LINES:,}", "filter first, with &")
            self.notify(str(error), severity="warning")
            return
        self._in_thread(
            lambda: "\n".join(map(self.view.shown_text, lines.read(0, len(lines)))),
            lambda text: self.post_message(self.Copied(text)),
            threading.Event(),
        )
