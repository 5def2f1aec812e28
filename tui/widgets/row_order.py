"""The order of the rows in a list: that of their source, or by the values of one column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from core.natural_order import natural_key
from tui.formatters.cells import COLUMN_GAP, Column, Line, Span, cut, table_row

ASCENDING_MARK, DESCENDING_MARK = "▲", "▼"


class Row(Protocol):
    """A row with the item that it shows."""

    @property
    def item(self) -> Any:
        """What the sort values of its columns are taken from."""


R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class RowOrder:
    """Rows by the values of one column."""

    column: int
    descending: bool

    def sorted(self, rows: Sequence[R], columns: Sequence[Column]) -> list[R]:
        """The rows in this order. Rows with equal values keep their order; those with unknown values come last."""
        value = columns[self.column].sort
        if value is None:
            return list(rows)
        values = [(value(row.item), row) for row in rows]
        known = [(natural_key(key) if isinstance(key, str) else key, row) for key, row in values if key is not None]
        known.sort(key=lambda pair: pair[0], reverse=self.descending)
        return [row for _, row in known] + [row for key, row in values if key is None]


def first_order(columns: Sequence[Column], column: int) -> RowOrder:
    """The order when a column is first chosen: texts from A to Z, numbers from the largest."""
    return RowOrder(column, columns[column].right)


def order_when_chosen(order: RowOrder | None, columns: Sequence[Column], column: int) -> RowOrder | None:
    """The order after a column is chosen: its first order, then the opposite, then the source's own (None)."""
    first = first_order(columns, column)
    if order is None or order.column != column:
        return first
    return RowOrder(column, not first.descending) if order == first else None


def order_beside(
    order: RowOrder | None, columns: Sequence[Column], layout: Sequence[tuple[int, int]], step: int
) -> RowOrder | None:
    """The order by the next visible column to the right (`step` 1) or left (-1), or by none between the ends."""
    candidates = [None, *(index for index, _ in layout if columns[index].sort is not None)]
    at = candidates.index(order.column) if order is not None and order.column in candidates else 0
    column = candidates[(at + step) % len(candidates)]
    return None if column is None else first_order(columns, column)


def heading(columns: Sequence[Column], layout: Sequence[tuple[int, int]], order: RowOrder | None) -> Line:
    """The line of column titles; the one that the rows are sorted by has a mark."""
    titles = [Span(column.title, "dim") for column in columns]
    widths = dict(layout)
    if order is not None and order.column in widths:
        mark = DESCENDING_MARK if order.descending else ASCENDING_MARK
        title = cut(columns[order.column].title, widths[order.column] - 1)
        titles[order.column] = Span(title + mark, "accent")
    return table_row(titles, columns, layout)


def column_at(x: int, layout: Sequence[tuple[int, int]]) -> int | None:
    """The column at so many terminal columns from the left, None between two."""
    left = 0
    for index, width in layout:
        if left <= x < left + width:
            return index
        left += width + COLUMN_GAP
    return None
