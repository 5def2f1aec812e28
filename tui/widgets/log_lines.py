"""Log lines as styled spans: time and stage dimmed, problems and search matches highlighted."""

from __future__ import annotations

import re

from rich.cells import cell_len, chop_cells

from tui.formatters.cells import Line, Span

_TROUBLE = re.compile(r"\b(error|fatal|failed|failure|traceback|exception|panic|denied)\b", re.IGNORECASE)
_WARNING = re.compile(r"\bwarn(ing)?\b", re.IGNORECASE)
_STAMP = re.compile(r"^(\d\d:\d\d:\d\d|--:--:--)\t([^\t]*)\t")
_STAGE_WIDTH = 12
_TAB = 8


def format_log_line(text: str, search_pattern: re.Pattern[str] | None = None) -> Line:
    """The spans of one line."""
    spans: list[Span] = []
    stamp = _STAMP.match(text)
    role = ""
    if stamp:
        clock, stage = stamp.groups()
        spans.append(Span(f"{clock} {stage[:_STAGE_WIDTH]:<{_STAGE_WIDTH}} " if stage else f"{clock} ", "dim"))
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
    """Wrap a line into rows of at most `width` columns."""
    rows: list[Line] = []
    row: list[Span] = []
    columns_left = width
    for text, role in line:
        pieces = _pieces(text, columns_left, width)
        for number, piece in enumerate(pieces):
            if number:
                rows.append(tuple(row))
                row, columns_left = [], width
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
