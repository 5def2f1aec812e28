"""Runs of changed cells, and the order of styles in which they take the fewest bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tui.terminal.sgr import CellStyle, style_change

TerminalCell = tuple[str, CellStyle]
CellRow = list[TerminalCell]


class Run(NamedTuple):
    """Cells [x, stop) of row `y` that are to be drawn, or a row's blank end that is to be erased."""

    y: int
    x: int
    stop: int
    erase: bool = False


def by_style(runs: Sequence[Run], rows: Sequence[CellRow], style: CellStyle) -> list[Run]:
    """The runs, cut where their style changes, one style after the other. `rows`: what is to be drawn.

    A style takes up to 36 bytes, a move 6. In each style single cells come first, column by column: in the vertical
    line of a frame a cell takes three bytes, and the way to the next one two.
    """
    groups: dict[CellStyle, list[Run]] = {}
    for run in runs:
        for piece_style, piece in _pieces(run, rows[run.y]):
            groups.setdefault(piece_style, []).append(piece)
    result: list[Run] = []
    while groups:
        style = min(groups, key=lambda other: len(style_change(style, other)[0]))
        result += sorted(groups.pop(style), key=_place)
    return result


def _pieces(run: Run, row: CellRow) -> Iterator[tuple[CellStyle, Run]]:
    """Cut a run where its style changes; a blank takes the style beside it where nobody sees the difference."""
    if run.erase:
        yield row[-1][1], run
        return
    start, style = run.x, row[run.x][1]
    for x in range(run.x + 1, run.stop):
        cell_style = row[x][1]
        if not style_change(style, cell_style)[0]:
            continue
        if style.blank and not style_change(cell_style, style)[0]:
            style = cell_style
            continue
        yield style, Run(run.y, start, x)
        start, style = x, cell_style
    yield style, Run(run.y, start, run.stop)


def _place(run: Run) -> tuple[bool, int, int]:
    """Single cells by column, then the rest by row."""
    return (True, run.y, run.x) if run.erase or run.stop > run.x + 1 else (False, run.x, run.y)
