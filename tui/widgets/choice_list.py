"""A list to choose from, with a filter, an order and marks. The cursor stays on its row while rows come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.formatters.cells import Cell, Column, Line, Span, layout_columns, plain_text, table_row
from tui.widgets.role_styles import RoleStyled
from tui.widgets.row_order import RowOrder, column_at, heading, order_beside, order_when_chosen

MARK = "●"
GUTTER = 2  # columns before the first cell: the mark


@dataclass(frozen=True)
class ChoiceRow:
    """One thing to choose. `key` identifies it and never changes; `item` is what the sort values are taken from."""

    key: str
    cells: tuple[Cell, ...]
    item: Any = field(default=None, compare=False)


def matches(text: str, query: str) -> bool:
    """Whether the text contains every word of `query`, in any case, and no word that is written `!word`."""
    low = text.lower()
    for word in query.lower().split():
        if word.startswith("!") and len(word) > 1:
            if word[1:] in low:
                return False
        elif word not in low:
            return False
    return True


def _with_unique_keys(rows: Sequence[ChoiceRow]) -> list[ChoiceRow]:
    """The rows with unique keys. Unreadable items share an empty key, and the cursor must be able to pass them."""
    used_keys: set[str] = set()
    result: list[ChoiceRow] = []
    for number, row in enumerate(rows):
        key = f"{row.key} #{number}" if row.key in used_keys else row.key
        used_keys.add(key)
        result.append(ChoiceRow(key, row.cells, row.item))
    return result


class ChoiceList(RoleStyled, ScrollView, can_focus=True):
    """Rows with a cursor. Posts Highlighted when the cursor moves to another row, Chosen on Enter or a double click."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "Page down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("home,g", "edge(-1)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "choose", "Choose", show=False),
        Binding("space", "mark", "Mark", show=False),
    ]

    class Highlighted(Message):
        """The cursor moved to another row. `key` is "" when the list is empty."""

        def __init__(self, choice_list: ChoiceList, key: str) -> None:
            super().__init__()
            self.choice_list = choice_list
            self.key = key

        @property
        def control(self) -> ChoiceList:
            return self.choice_list

    class Chosen(Highlighted):
        """Somebody pressed Enter on a row, or double-clicked it."""

    class Reordered(Highlighted):
        """Somebody chose another order of the rows."""

    def __init__(self, columns: Sequence[Column], *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.columns = list(columns)
        self._empty = empty
        self.marked: list[str] = []
        self.filter_text = ""
        self._row_order: RowOrder | None = None
        self._all_rows: list[ChoiceRow] = []
        self._rows: list[ChoiceRow] = []
        self._reported_key = ""  # of the row that was last told
        self._awaited_key = ""  # of a row that the cursor goes to once it is there
        self._new_key = ""  # of the row that was made last
        self._cursor = 0
        self._order: list[str] = []  # the keys of the rows, and the one under the cursor, when there were any
        self._cursor_key = ""
        self._layout: list[tuple[int, int]] = []
        self._layout_width = 0

    # -- what the screen says and asks --------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """The key of the row under the cursor, "" when there is none."""
        return self._rows[self._cursor].key if self._rows else ""

    @property
    def keys(self) -> list[str]:
        """The keys of the rows that pass the filter, in order."""
        return [row.key for row in self._rows]

    @property
    def empty(self) -> str:
        """The text of an empty list."""
        return self._empty

    @empty.setter
    def empty(self, words: str) -> None:
        if words != self._empty:
            self._empty = words
            self.refresh()

    def show(self, rows: Sequence[ChoiceRow], state: str = "", role: str = "") -> None:
        """Replace the rows. The cursor stays on its key, or moves to the nearest remaining row when that is gone."""
        self._all_rows = _with_unique_keys(rows)
        if (self.border_subtitle or "") != state:
            self.border_subtitle = state
        self.set_class(role == "stale", "-stale")
        self.set_class(role == "error", "-error")
        self._apply_filter()

    def search(self, query: str) -> None:
        """Show only the rows that match the query."""
        self._awaited_key = ""
        self.filter_text = query
        self._apply_filter()
        if not self._rows:  # the line that says so names the words
            self.refresh()

    @property
    def row_order(self) -> RowOrder | None:
        """How the rows are sorted, None for the order of their source."""
        return self._row_order

    @row_order.setter
    def row_order(self, order: RowOrder | None) -> None:
        if order != self._row_order:
            self._row_order = order
            self._apply_filter()
            self.refresh()

    def unmark(self) -> None:
        """Remove the marks of all rows."""
        self.marked.clear()
        self.refresh()

    def move_cursor_to(self, key: str) -> None:
        """Move the cursor to a row, now or as soon as it appears. The filter stays as it is."""
        if key in self.keys:
            self._set_cursor(self.keys.index(key))
        else:
            self._awaited_key = key

    def move_cursor_to_new(self, key: str) -> None:
        """Move the cursor to the row of something just created. The filter is cleared, as it might hide the row."""
        self.filter_text = ""
        self._awaited_key = self._new_key = key
        self._apply_filter()

    @property
    def awaits_new(self) -> bool:
        """Whether something was just created whose row has not appeared yet."""
        return bool(self._awaited_key) and self._awaited_key == self._new_key

    # -- drawing ------------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """The heading stays; rows scroll below it."""
        width = self.scrollable_content_region.width
        if width != self._layout_width:  # the padding has changed, which no resize tells
            self._share_width()
        if y == 0:
            return self.role_strip((Span(" " * GUTTER), *heading(self.columns, self._layout, self._row_order)), width)
        index = y - 1 + self.scroll_offset.y
        if index >= len(self._rows):
            return self.role_strip(self._hint(index), width)
        row = self._rows[index]
        over = ""
        if index == self._cursor:
            over = "cursor" if self.has_focus else "cursor-idle"
        return self.role_strip(self._line(row), width, over)

    def _line(self, row: ChoiceRow) -> Line:
        mark = Span(f"{MARK} " if row.key in self.marked else "  ", "accent")
        return (mark, *table_row(row.cells, self.columns, self._layout))

    def _hint(self, index: int) -> Line:
        if index or self._rows:
            return ()
        return (
            Span("  "),
            Span(
                f"nothing matches “{self.filter_text}”: Esc shows all"
                if self._all_rows and self.filter_text
                else self._empty,
                "dim",
            ),
        )

    def on_resize(self) -> None:
        """Columns share the new width, and the cursor stays in view."""
        self._share_width()
        self._set_size()
        self._reveal()
        self.refresh()

    def _share_width(self) -> None:
        self._layout_width = self.scrollable_content_region.width
        self._layout = layout_columns(self.columns, max(self._layout_width - GUTTER, 1))

    def on_focus(self) -> None:
        self._refresh_row(self._cursor)

    def on_blur(self) -> None:
        self._refresh_row(self._cursor)

    def _apply_filter(self) -> None:
        before, old_cursor = self._rows, self._cursor
        rows = [
            row for row in self._all_rows if matches(" ".join(plain_text(cell) for cell in row.cells), self.filter_text)
        ]
        self._rows = rows if self._row_order is None else self._row_order.sorted(rows, self.columns)
        self._cursor = self._find_cursor()
        if len(before) != len(self._rows):
            self._set_size()
            self.refresh()
        for index, (old, new) in enumerate(zip(before, self._rows, strict=False)):
            if old != new:
                self._refresh_row(index)
        if old_cursor != self._cursor:
            self._refresh_row(old_cursor)
            self._refresh_row(self._cursor)
            self._reveal()
        self._report_highlight()

    def _find_cursor(self) -> int:
        """The cursor's new index: the awaited row, else its own row, else the nearest remaining neighbour."""
        indexes = {row.key: index for index, row in enumerate(self._rows)}
        if not indexes:
            return 0
        old_index = self._order.index(self._cursor_key) if self._cursor_key in self._order else 0
        candidates = [self._awaited_key, *self._order[old_index:], *reversed(self._order[:old_index])]
        key = next((key for key in candidates if key in indexes), self._rows[0].key)
        if key == self._awaited_key:
            self._awaited_key = ""
        self._order, self._cursor_key = list(indexes), key
        return indexes[key]

    def _set_size(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows) + 1)

    def _refresh_row(self, index: int) -> None:
        y = index + 1 - self.scroll_offset.y
        if 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.scrollable_content_region.width, 1))

    # -- sorting ------------------------------------------------------------------------------------------------------

    def sort_beside(self, step: int) -> None:
        """Sort by the next column to the right, or to the left."""
        self._choose_order(order_beside(self._row_order, self.columns, self._layout, step))

    def sort_reverse(self) -> None:
        """Reverse the order; the third time, return to the order of the source."""
        if self._row_order is not None:
            self._choose_order(order_when_chosen(self._row_order, self.columns, self._row_order.column))
        else:
            self.sort_beside(1)

    def _choose_order(self, order: RowOrder | None) -> None:
        self.row_order = order
        self.post_message(self.Reordered(self, self.key))

    # -- moving -------------------------------------------------------------------------------------------------------

    def _set_cursor(self, index: int) -> None:
        if not self._rows:
            return
        self._awaited_key = ""  # the user moves the cursor to the row that is wanted
        old, self._cursor = self._cursor, max(min(index, len(self._rows) - 1), 0)
        self._cursor_key = self.key
        self._refresh_row(old)
        self._refresh_row(self._cursor)
        self._reveal()
        self._report_highlight()

    def _reveal(self) -> None:
        height = max(self.size.height - 1, 1)
        top = self.scroll_offset.y
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False)

    def _report_highlight(self) -> None:
        if self.key != self._reported_key and (self._rows or not self._all_rows):
            self._reported_key = self.key
            self.post_message(self.Highlighted(self, self._reported_key))

    def action_move(self, step: int) -> None:
        self._set_cursor(self._cursor + step)

    def action_page(self, step: int) -> None:
        """A page up or down."""
        self._set_cursor(self._cursor + step * max(self.size.height - 2, 1))

    def action_edge(self, side: int) -> None:
        """To the first or the last row."""
        self._set_cursor(0 if side < 0 else len(self._rows) - 1)

    def action_choose(self) -> None:
        if self._rows:
            self.post_message(self.Chosen(self, self.key))

    def action_mark(self) -> None:
        """Mark or unmark the row, and go on to the next."""
        if not self._rows:
            return
        if self.key in self.marked:
            self.marked.remove(self.key)
        else:
            self.marked.append(self.key)
        self._refresh_row(self._cursor)
        self.action_move(1)

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; a click on it chooses; one on a column's title sorts by it."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            column = column_at(offset.x - GUTTER, self._layout)
            if column is not None and self.columns[column].sort is not None:
                self._choose_order(order_when_chosen(self._row_order, self.columns, column))
            return
        index = offset.y - 1 + self.scroll_offset.y
        if index >= len(self._rows):
            return
        if index == self._cursor and event.chain > 1:
            self.action_choose()
        else:
            self._set_cursor(index)
