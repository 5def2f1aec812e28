"""Charts made of characters: column charts, bar charts, and scores with their threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from tui.formatters.cells import Line, Span, fit, line, truncate
from tui.widgets.sparkline import BARS

FULL_BLOCK = "█"
THRESHOLD_MARK = "╌"  # where the threshold lies
SCALE_WIDTH = 5  # columns for the numbers on the left


def merge_spans(cells: Sequence[tuple[str, str]]) -> Line:
    """Characters with roles as a line; neighbours with the same role become one span, which needs fewer bytes."""
    out: list[list[str]] = []
    for text, role in cells:
        if out and out[-1][1] == role:
            out[-1][0] += text
        else:
            out.append([text, role])
    return tuple(Span(text, role) for text, role in out)


def score_sparkline(scores: Sequence[float], threshold: float, width: int, step: int = 1) -> Line:
    """The newest scores as one line; those above the threshold stand out. A bar is the maximum of `step`."""
    groups = [max(scores[at : at + step]) for at in range(0, len(scores), step)][-width:]
    cells = [(BARS[min(int(value * 8), 7)], "error" if value >= threshold else "bar") for value in groups]
    return merge_spans([(" ", "")] * (width - len(cells)) + cells)


def score_graph(scores: Sequence[float], threshold: float, width: int, height: int) -> list[Line]:
    """The newest scores as columns from 0 to 1, with the threshold as a line across."""
    room = max(width - SCALE_WIDTH - 1, 1)
    newest = list(scores[-room:])
    threshold_row = min(int(threshold * height), height - 1)  # the row from below in which the threshold lies
    out: list[Line] = []
    for row in range(height - 1, -1, -1):
        label = f"{threshold:.2f}" if row == threshold_row else "1" if row == height - 1 else "0" if row == 0 else ""
        cells = [(_block(value * height * 8 - row * 8), "error" if value >= threshold else "bar") for value in newest]
        if row == threshold_row:
            cells = [(THRESHOLD_MARK, "warn") if text == " " else (text, role) for text, role in cells]
        padding = [(THRESHOLD_MARK if row == threshold_row else " ", "warn" if row == threshold_row else "")] * (
            room - len(cells)
        )
        out.append(
            (
                Span(f"{label:>{SCALE_WIDTH - 1}} ", "warn" if row == threshold_row else "dim"),
                *merge_spans(padding + cells),
            )
        )
    return out


def _block(eighths: float) -> str:
    if eighths < 1:
        return " "
    return FULL_BLOCK if eighths >= 8 else BARS[int(eighths) - 1]


def column_chart(values: Sequence[tuple[int, int]], labels: Sequence[str], width: int, height: int) -> list[Line]:
    """One column per value (total, of which done); the part that is not done is on top in another colour.

    When there are too many values for the width, neighbours are added up.
    """
    if not values or height < 3:
        return []
    room = max(width - SCALE_WIDTH - 1, 1)
    group_size = -(-len(values) // room)
    sums = [_total(values[at : at + group_size]) for at in range(0, len(values), group_size)]
    names = [labels[at] for at in range(0, len(values), group_size)]
    spread = room if room >= 2 * len(sums) else len(sums)  # too many for gaps
    starts = [number * spread // len(sums) for number in range(len(sums))]
    column_width = max(spread // len(sums) - 1, 1)
    top = max((total for total, _ in sums), default=0)
    rows = height - 1
    out: list[Line] = []
    for row in range(rows - 1, -1, -1):
        label = short_number(top) if row == rows - 1 else "0" if row == 0 else ""
        cells = [(" ", "")] * room
        for start, (total, done) in zip(starts, sums, strict=True):
            scale = rows * 8 / max(top, 1)
            text = _block(total * scale - row * 8)
            if row == 0 and total and text == " ":
                text = BARS[0]  # keep even a tiny value visible
            role = "bar" if row * 8 < done * scale else "warn"
            cells[start : start + column_width] = [(text, role if text != " " else "")] * column_width
        out.append((Span(f"{label:>{SCALE_WIDTH - 1}} ", "dim"), *merge_spans(cells)))
    out.append(_labels(names, starts, room))
    return out


def _total(values: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(total for total, _ in values), sum(done for _, done in values)


def _labels(names: Sequence[str], starts: Sequence[int], room: int) -> Line:
    """As many labels below the columns as fit."""
    text, free = "", 0
    for name, at in zip(names, starts, strict=True):
        if name and at >= free and at + cell_len(name) <= room:
            text = text.ljust(at) + name
            free = at + cell_len(name) + 1
    return line(Span(" " * SCALE_WIDTH), Span(text, "dim"))


def short_number(value: float) -> str:
    """At most four characters: `12`, `1.2k`, `34k`."""
    if value < 1000:
        return f"{value:.0f}"
    return (
        f"{value / 1000:.1f}k" if value < 10_000 else f"{value / 1000:.0f}k" if value < 1e6 else f"{value / 1e6:.0f}M"
    )


def bar_chart(values: Mapping[str, int], width: int, notes: Mapping[str, str] | None = None) -> list[Line]:
    """One bar per name, the longest first, with its value and a note."""
    if not values:
        return []
    notes = notes or {}
    name_width = min(max(cell_len(name) for name in values), max(width // 3, 8))
    note_width = max((cell_len(note) for note in notes.values()), default=0)
    note_width = note_width + 2 if note_width and width - name_width - note_width > 24 else 0
    room = max(width - name_width - 2 - 7 - note_width, 4)
    top = max(values.values())
    out: list[Line] = []
    for name, value in sorted(values.items(), key=lambda item: (-item[1], item[0])):
        size = value / max(top, 1) * room * 8
        bar = FULL_BLOCK * int(size // 8) + (" ▏▎▍▌▋▊▉"[int(size % 8)] if size % 8 >= 1 else "")
        bar = bar or ("▏" if value else "")
        note = (Span(f"  {truncate(notes.get(name, ''), note_width - 2)}", "dim"),) if note_width else ()
        out.append((*fit(Span(name), name_width), Span("  "), *fit(Span(bar, "bar"), room), Span(f"{value:>7}"), *note))
    return out
