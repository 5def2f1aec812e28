"""The Overview's panels as lines."""

from __future__ import annotations

from collections.abc import Sequence

from core.operations.model import Operation
from tui.present.cells import Column, Line, Span, table
from tui.present.figures import duration
from tui.present.operations import STATES

QUIET = (Span("nothing runs", "dim"),)


def operations(found: Sequence[Operation] | None, width: int) -> list[Line]:
    """What runs now, then what ended last."""
    if not found:
        return [QUIET]
    live = [operation for operation in found if operation.state.live]
    rest = [operation for operation in found if not operation.state.live]
    columns = (Column("", 4, right=True), Column(""), Column("", 11), Column("", 8, right=True))
    rows = [
        (Span(str(operation.id), "dim"), operation.title(), STATES[operation.state], duration(operation.seconds))
        for operation in [*live, *rest]
    ]
    return table(rows, columns, width, titles=False)
