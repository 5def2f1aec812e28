"""A drop-down list of known values, with a mark on those that fit the target; typing narrows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Region
from textual.screen import ModalScreen
from textual.widgets import Input

from core.errors import XaivaError
from core.findings import Finding
from tui.app_protocol import console_of
from tui.formatters import findings as finding_format
from tui.formatters.cells import Column, Line, Span, wrap
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Panel

FITS = Span("✓", "ok")
SPARE_LINES = 5  # of the drop-down: its frame, the search line and the heading
REASON_LINES = 6
LEAST_WIDTH = 60


@dataclass(frozen=True)
class Ratings:
    """What speaks against each value on a target; None for a value that fits."""

    target: str
    problems: Mapping[str, Finding | None]


class Pick(ModalScreen[str]):
    """Returns the value, None when the dialog was cancelled.

    It opens below `field`, the place of the field on the screen, else in the middle. `rate` blocks; its marks come
    when it is done.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Cancel"),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
    ]

    def __init__(
        self,
        title: str,
        values: Sequence[str],
        current: str = "",
        field: Region | None = None,
        rate: Callable[[], Ratings] | None = None,
    ) -> None:
        super().__init__()
        self._title = title
        self._values = list(dict.fromkeys(values))
        self._current = current
        self._field = field
        self._rate = rate
        self._ratings: Ratings | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog form pick") as dialog:
            dialog.border_title = self._title
            box = Input(placeholder="type to narrow, Enter picks", id="narrow")
            box.cursor_blink = False
            yield box
            columns = [Column("", 1), Column("known values")] if self._rate else [Column("known values")]
            yield ChoiceList(columns, empty="no known value", id="values")
            if self._rate is not None:
                yield Panel(id="reason")

    def on_mount(self) -> None:
        self._place()
        self._show_values()
        self.call_after_refresh(self.query_one(ChoiceList).move_cursor_to, self._current)  # once it has its size
        self.query_one("#narrow").focus()
        if self._rate is not None:
            self._show_reason()
            console_of(self).background(self._rate, self._show_ratings, self._show_error)

    def _place(self) -> None:
        """Put it below its field, or as near as the terminal allows."""
        dialog, size, field = self.query_one(".pick"), self.app.size, self._field
        width = min(max(field.width if field else 0, LEAST_WIDTH), size.width)
        height = min(len(self._values) + SPARE_LINES + (REASON_LINES if self._rate else 0), size.height * 4 // 5)
        left, top = (field.x, field.bottom) if field else ((size.width - width) // 2, (size.height - height) // 2)
        dialog.styles.width, dialog.styles.height = width, height
        dialog.styles.offset = (max(min(left, size.width - width), 0), max(min(top, size.height - height), 0))

    def _show_values(self) -> None:
        self.query_one(ChoiceList).show([ChoiceRow(value, self._cells(value)) for value in self._values])

    def _cells(self, value: str) -> tuple[Span | str, ...]:
        if self._rate is None:
            return (value,)
        if self._ratings is None or value not in self._ratings.problems:
            return ("", value)
        problem = self._ratings.problems[value]
        return (finding_format.mark(problem.level) if problem else FITS, value)

    def _show_ratings(self, ratings: Ratings) -> None:
        if self.is_attached:
            self._ratings = ratings
            self._show_values()
            self._show_reason()

    def _show_error(self, error: XaivaError) -> None:
        if self.is_attached:
            self.query_one("#reason", Panel).show(lambda width: wrap(f"not checked: {error.summary}", width, "warn"))

    @on(ChoiceList.Highlighted)
    def _show_reason(self) -> None:
        """Say why the value under the cursor does not fit."""
        if self._rate is None:
            return
        panel, ratings = self.query_one("#reason", Panel), self._ratings
        problem = ratings.problems.get(self.query_one(ChoiceList).key) if ratings else None

        def lines(width: int) -> list[Line]:
            if ratings is None:
                return wrap("checking what fits…", width, "dim")
            if problem is None:
                return wrap(f"checked for {ratings.target}", width, "dim")
            return finding_format.lines([problem], width)

        panel.show(lines)

    def action_move(self, step: int) -> None:
        """Move the cursor while the input has the focus."""
        self.query_one(ChoiceList).action_move(step)

    def action_page(self, step: int) -> None:
        self.query_one(ChoiceList).action_page(step)

    @on(Input.Changed, "#narrow")
    def _narrow(self, event: Input.Changed) -> None:
        self.query_one(ChoiceList).search(event.value)

    @on(Input.Submitted, "#narrow")
    @on(ChoiceList.Chosen)
    def _choose(self) -> None:
        key = self.query_one(ChoiceList).key
        self.dismiss(key or None)

    def action_leave(self) -> None:
        self.dismiss(None)
