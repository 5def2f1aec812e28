"""Lines of text whose parts have a role ("ok", "error", "dim"), and tables made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from rich.cells import cell_len, set_cell_size
from typing_extensions import Self

from core.open_enum import OpenEnum
from core.terminal_text import escape_invisible

# What a part of a line means; the theme decides how it looks. Colour is never the only sign of a state.
ROLES = ("dim", "title", "key", "ok", "warn", "error", "stale", "accent", "bar", "add", "remove", "current")
COLUMN_GAP = 2  # blanks between two columns
ELLIPSIS = "…"
# A blank where a line may end: not between a number and its unit (`8 s`).
_LINE_BREAK = re.compile(r"(?<!\d) | (?!(?:ms|s|min|h|d|fps|%|°C|W|B|[KMGTP]i?B)(?!\w))")


class _Span(NamedTuple):
    text: str
    role: str = ""


class Span(_Span):
    """Some text and its role, "" for plain. Invisible characters are escaped."""

    __slots__ = ()

    def __new__(cls, text: str, role: str = "") -> Self:
        return super().__new__(cls, escape_invisible(text), role)


Line: TypeAlias = tuple[Span, ...]
Cell: TypeAlias = "str | Span | Line"


def enum_span(spans: Mapping[Any, Span], value: OpenEnum) -> Span:
    """How a state is shown; an unknown one keeps its word and has no role."""
    return spans.get(value) or Span(f"? {value.word}")


def line(*parts: str | Span) -> Line:
    """A line made of its parts."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def as_line(cell: Cell) -> Line:
    if isinstance(cell, Span):
        return (cell,)
    return (Span(cell),) if isinstance(cell, str) else cell


def plain_text(cell: Cell) -> str:
    return "".join(span.text for span in as_line(cell))


def width_of(cell: Cell) -> int:
    """The width in terminal columns; a CJK character takes two."""
    return sum(cell_len(span.text) for span in as_line(cell))


def truncate(text: str, width: int) -> str:
    """The text in at most `width` columns, with an ellipsis where it was cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + ELLIPSIS if width > 0 else ""


def cut(text: str, width: int) -> str:
    """The text in at most `width` columns, without a sign where it was cut."""
    return text if cell_len(text) <= width else set_cell_size(text, max(width, 0))


def fit(cell: Cell, width: int, right: bool = False) -> Line:
    """The cell in exactly `width` columns, cut or padded with blanks."""
    spans = as_line(cell)
    missing = width - width_of(spans)
    if missing >= 0:
        pad = (Span(" " * missing),) if missing else ()
        return pad + spans if right else spans + pad
    out: list[Span] = []
    room = width
    for index, span in enumerate(spans):
        more_follows = any(later.text for later in spans[index + 1 :])
        size = cell_len(span.text)
        if size > room or (more_follows and size == room):
            out.append(Span(truncate(span.text + (ELLIPSIS if size == room else ""), room), span.role))
            break
        out.append(span)
        room -= size
    return tuple(out)


def wrap(text: str, width: int, role: str = "", indent: str = "") -> list[Line]:
    """The text as lines of at most `width` columns; lines after the first are indented.

    A number and its unit stay on one line.
    """
    out: list[Line] = []
    for paragraph in text.splitlines() or [""]:
        current = ""
        for word in _LINE_BREAK.split(paragraph):
            candidate = f"{current} {word}" if current.strip() else current + word
            if cell_len(candidate) <= width or not current.strip():
                current = candidate
            else:
                out.append((Span(current, role),))
                current = indent + word
            while cell_len(current) > width > len(indent) + 1:
                head = set_cell_size(current, width).rstrip()
                out.append((Span(head, role),))
                current = indent + current[len(head) :]
        out.append((Span(current, role),))
    return out


def labelled_lines(name: str, value: Cell, label: int, width: int) -> list[Line]:
    """A fact with its name before it; a plain text wraps below where it is too long for one line."""
    value_width = max(width - label, 1)
    values = wrap(value, value_width) if isinstance(value, str) else [fit(value, value_width)]
    return [(*fit(Span("" if number else name, "dim"), label), *value_line) for number, value_line in enumerate(values)]


@dataclass(frozen=True)
class Column:
    """A table column of a fixed width, or one that shares the rest of the line."""

    title: str
    width: int = 0
    """In terminal columns; 0 shares the rest of the line by `weight`."""
    right: bool = False
    """Whether cells are aligned to the right."""
    rank: int = 0
    """The column with the highest rank is dropped first when the line is narrow; rank 0 is never dropped."""
    weight: int = 1
    minimum: int = 10
    """The least width of a column without a fixed `width`."""
    sort: Callable[[Any], float | str | None] | None = None
    """The value of a row's item that the rows can be sorted by, None where it is unknown. Without it, the list cannot
    be sorted by this column."""


def layout_columns(columns: Sequence[Column], width: int) -> list[tuple[int, int]]:
    """The columns that fit into `width`, as (index, terminal columns)."""
    visible = list(range(len(columns)))

    def needed_width() -> int:
        return sum(columns[i].width or columns[i].minimum for i in visible) + COLUMN_GAP * (len(visible) - 1)

    while needed_width() > width and (candidates := [i for i in visible if columns[i].rank]):
        visible.remove(max(candidates, key=lambda i: (columns[i].rank, i)))
    shared = [i for i in visible if not columns[i].width]
    spare = max(width - needed_width(), 0)
    weights = sum(columns[i].weight for i in shared)
    sizes = {i: columns[i].width or columns[i].minimum + spare * columns[i].weight // weights for i in visible}
    if shared:
        sizes[shared[0]] += (
            width - sum(sizes.values()) - COLUMN_GAP * (len(visible) - 1) if needed_width() <= width else 0
        )
    return [(i, sizes[i]) for i in visible]


def table_row(cells: Sequence[Cell], columns: Sequence[Column], layout: Sequence[tuple[int, int]]) -> Line:
    """One row of a table. In a row with fewer cells than columns the last cell takes the rest of the line."""
    out: list[Span] = []
    for position, (index, size) in enumerate(layout):
        if position:
            out.append(Span(" " * COLUMN_GAP))
        if index >= len(cells) - 1 and len(cells) < len(columns):
            size += sum(COLUMN_GAP + wide for _, wide in layout[position + 1 :])
            out.extend(fit(cells[-1], size))
            break
        out.extend(fit(cells[index], size, columns[index].right))
    return tuple(out)


def table(rows: Sequence[Sequence[Cell]], columns: Sequence[Column], width: int, titles: bool = True) -> list[Line]:
    """A whole table as lines."""
    layout = layout_columns(columns, width)
    heading = [Span(column.title, "dim") for column in columns]
    return [table_row(row, columns, layout) for row in ([heading, *rows] if titles else rows)]
