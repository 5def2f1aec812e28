"""Log lines as styled spans: time and stage dimmed, problems and search matches highlighted."""

from __future__ import annotations

import re

from rich.cells import cell_len, chop_cells

from tui.formatters.cells import Line, Span

_TROUBLE = re.compile(r"\b(error|fatal|failed|failure|traceback|exception|panic|denied)\b", re.IGNORECASE)
_WARNING = re.compile(r"\bwarn(ing)?\b", re.IGNORECASE)
_STAMP = re.compile(r"^((?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d|--:--:--)\t([^\t]*)\t")
_STAGE_WIDTH = 12
_TAB = 8


def without_stamp(text: str) -> str:
    """A line without its time."""
    stamp = _STAMP.match(text)
    if stamp is None:
        return text
    return text[stamp.start(2) :] if stamp[2] else text[stamp.end() :]


def format_log_line(text: str, search_pattern: re.Pattern[str] | None = None, stamps: bool = True) -> Line:
    """The spans of one line; `stamps` shows its time."""
    spans: list[Span] = []
    stamp = _STAMP.match(text)
    role = ""
    if stamp:
        clock, stage = stamp.groups()
        clock_text = f"{clock} " if stamps else ""
        stage_text = f"{stage[:_STAGE_WIDTH]:<{_STAGE_WIDTH}} " if stage else ""
        spans += [Span(clock_text + stage_text, "dim")] if clock_text or stage_text else []
        text = text[stamp.end() :]
        role = "warn" if clock.startswith("-") else ""  # this line says that lines are missing
    text = text.expandtabs(_TAB)
    if _TROUBLE.search(text):
        role = "error"
    elif _WARNING.search(text):
        role = "warn"
    return (*spans, *_highlight_matches(text, role, search_pattern))


def _highlight_matches(text: str, role: str, search_pattern: re.Pattern[str] | None) -> list[Span]:
    if search_pattern is None:
        return [Span(text, role)]
    spans: list[Span] = []
    at = 0
    for match in search_pattern.finditer(text):
        if match.end() > match.start():
            spans += [Span(text[at : match.start()], role), Span(match[0], "current")]
            at = match.end()
    spans.append(Span(text[at:], role))
    return [span for span in spans if span.text]


def fold_line(line: Line, width: int) -> list[Line]:
    """Wrap a line into rows of at most `width` columns. Text goes on below text, not below the time and stage."""
    stamp_width = cell_len(line[0].text) if line and line[0].role == "dim" else 0
    indent = stamp_width if stamp_width < width / 2 else 0
    rows: list[Line] = []
    row: list[Span] = []
    columns_left = width
    for text, role in line:
        pieces = _pieces(text, columns_left, width - indent)
        for number, piece in enumerate(pieces):
            if number:
                rows.append(tuple(row))
                row, columns_left = [Span(" " * indent)] if indent else [], width - indent
            if piece:
                row.append(Span(piece, role))
                columns_left -= cell_len(piece)
    rows.append(tuple(row))
    return rows


def _pieces(text: str, columns_left: int, width: int) -> list[str]:
    """Cut `text`: what fits into `columns_left`, then pieces of `width` columns."""
    if cell_len(text) <= columns_left:
        return [text]
    head = chop_cells(text, columns_left)[0] if columns_left > 0 else ""
    return [head, *chop_cells(text[len(head) :], width)]
