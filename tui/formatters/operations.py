"""Operations and their stages as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.findings import read_finding
from core.operations.model import Operation, OperationState
from core.operations.outcome import format_value, record_table, result_label, summarize_outcome
from core.progress import Stage, StageState, stage_tree
from tui.formatters import findings as finding_format
from tui.formatters.cells import (
    Cell,
    Column,
    Line,
    Span,
    enum_span,
    fit,
    labelled_lines,
    layout_columns,
    line,
    table,
    width_of,
    wrap,
)
from tui.formatters.numbers import bar, duration, local_time, size

STATE_SPANS: dict[OperationState, Span] = {
    OperationState.QUEUED: Span("○ queued", "dim"),
    OperationState.RUNNING: Span("▶ running", "accent"),
    OperationState.DONE: Span("✓ done", "ok"),
    OperationState.FAILED: Span("✗ failed", "error"),
    OperationState.CANCELLED: Span("■ cancelled", "warn"),
    OperationState.CRASHED: Span("✗ crashed", "error"),
}
STAGE_STATE_MARKS: dict[StageState, Span] = {
    StageState.WAITING: Span("○", "dim"),
    StageState.RUNNING: Span("▶", "accent"),
    StageState.DONE: Span("✓", "ok"),
    StageState.CACHED: Span("≡", "ok"),
    StageState.FAILED: Span("✗", "error"),
    StageState.CANCELLED: Span("■", "warn"),
}
COLUMNS = (
    Column("#", 4, right=True, sort=lambda operation: operation.id),
    Column("operation", minimum=18, sort=lambda operation: operation.title()),
    Column("state", 11, sort=lambda operation: operation.state.word),
    Column("took", 8, right=True, sort=lambda operation: operation.seconds),
    Column("result", minimum=16, rank=1, sort=summarize_outcome),
    Column("started", 16, rank=2, sort=lambda operation: operation.started or operation.created),
    Column("by", 14, rank=3, sort=lambda operation: operation.by),
)
BAR_WIDTH = 12
MAX_LIST_ITEMS = 20  # shown of one list in a result
MAX_NUMBER_WIDTH = 14  # of a cell; anything longer is a text


def row(operation: Operation) -> tuple[Cell, ...]:
    """One operation in a list."""
    return (
        str(operation.id),
        operation.title(),
        enum_span(STATE_SPANS, operation.state),
        duration(operation.seconds),
        summarize_outcome(operation),
        Span(local_time(operation.started or operation.created), "dim"),
        Span(operation.by, "dim"),
    )


def progress_text(stage: Stage) -> str:
    """The progress of a stage in its unit: `1.2 GiB of 4.0 GiB`, `12 of 40 files`."""
    if not stage.unit and not stage.total:
        return ""
    if stage.unit == "bytes":
        return f"{size(stage.done)} of {size(stage.total)}" if stage.total else size(stage.done)
    unit = f" {stage.unit}" if stage.unit else ""
    return f"{stage.done:.0f} of {stage.total:.0f}{unit}" if stage.total else f"{stage.done:.0f}{unit}"


def stage_lines(stages: Sequence[Stage], now: float, width: int, running_first: bool = False) -> list[Line]:
    """The stages as a tree with marks, bars and times. `now` is a Unix time."""
    columns = (Column("", minimum=20), Column("", BAR_WIDTH, rank=2), Column("", 22, rank=1), Column("", 8, right=True))
    rows: list[tuple[Cell, ...]] = []
    for depth, stage in stage_tree(stages, running_first):
        title = line("  " * depth, _stage_mark(stage), " ", Span(stage.title, _title_role(stage)))
        rows.append(
            (title, _stage_bar(stage), Span(progress_text(stage) or stage.detail, "dim"), _time_text(stage, now))
        )
    return table(rows, columns, width, titles=False)


def _stage_mark(stage: Stage) -> Span:
    return STAGE_STATE_MARKS.get(stage.state) or Span(f"? {stage.state.word}")


def _title_role(stage: Stage) -> str:
    return "dim" if stage.state is StageState.WAITING else ""


def _stage_bar(stage: Stage) -> Line:
    if not stage.total or stage.state is not StageState.RUNNING:
        return ()
    return bar(stage.done / stage.total, BAR_WIDTH, "accent")


def _time_text(stage: Stage, now: float) -> str:
    if stage.state is StageState.CACHED:
        return "cached"
    if not stage.started:
        return ""
    return duration((stage.ended or now) - stage.started)


def running_since(operation: Operation) -> str:
    """`sync, operation 12, since 10:31:02 by ana from 10.0.0.7`."""
    by = f" by {operation.by}" if operation.by else ""
    return f"{operation.kind}, operation {operation.id}, since {local_time(operation.started or operation.created)}{by}"


def detail(operation: Operation, stages: Sequence[Stage], now: float, width: int) -> list[Line]:
    """Everything about one operation except its log."""
    head = line(
        enum_span(STATE_SPANS, operation.state), f"  {operation.title()}", Span(f"  operation {operation.id}", "dim")
    )
    started_text = (
        f"started {local_time(operation.started or operation.created)}{f' by {operation.by}' if operation.by else ''}"
    )
    out = [fit(head, width), *wrap(started_text, width, "dim")]
    if operation.options:
        options = ", ".join(f"{name}={format_value(value)}" for name, value in operation.options.items())
        out += wrap(options, width, "dim")
    if operation.cancel_requested and operation.state.live:
        out.append(line(Span("cancellation requested", "warn")))
    if operation.failure is not None:
        out += failure_lines(operation, width)
    if operation.result:
        out += [line(), *result_lines(operation.result, width, f"xaiva ops show {operation.id}")]
    if stages:
        out += [line(), *stage_lines(stages, now, width)]
    return out


def failure_lines(operation: Operation, width: int) -> list[Line]:
    """The error with its reason and remedy."""
    failure = operation.failure
    if failure is None:
        return []
    lines = [line(), *wrap(failure.what, width, "error")]
    if failure.why:
        lines += wrap(failure.why, width)
    if failure.remedy:
        lines += wrap(f"→ {failure.remedy}", width, "accent", indent="  ")
    return lines


def result_lines(result: dict[str, Any], width: int, show_all_command: str) -> list[Line]:
    """The result as names and values, without empty ones. `show_all_command` is named where a list is cut."""
    out: list[Line] = []
    label_width = min(max((len(result_label(name)) for name, value in result.items() if value), default=0), 20) + 2
    for name, value in result.items():
        if name == "findings" and isinstance(value, list):
            out += finding_format.lines([read_finding(record) for record in value], width) if value else []
        elif isinstance(value, list):
            for item in value[:MAX_LIST_ITEMS]:
                out += labelled_lines(result_label(name), format_value(item), label_width, width)
            if len(value) > MAX_LIST_ITEMS:
                out += labelled_lines(
                    result_label(name),
                    f"… and {len(value) - MAX_LIST_ITEMS} more: {show_all_command}",
                    label_width,
                    width,
                )
        elif records := record_table(name, value):
            out += [*_record_lines(records, width, show_all_command), line()]
        elif value:
            out += labelled_lines(result_label(name), _value_text(name, value), label_width, width)
    return out


def _record_lines(records: Sequence[Sequence[str]], width: int, show_all_command: str) -> list[Line]:
    """A table of records below its head; where it is narrow, the last narrow columns are left out, and it says so.

    A single record needs no table: all of it is shown.
    """
    head, *rows = records
    columns = []
    for number, title in enumerate(head):
        wide = max(width_of(row[number]) for row in records)
        is_text = not number or wide > MAX_NUMBER_WIDTH
        columns.append(Column(title, minimum=14) if is_text else Column(title, wide, right=True, rank=number))
    if len(layout_columns(columns, width)) == len(columns):
        return [fit(row, width) for row in table(rows, columns, width)]
    if len(rows) == 1:
        values = ", ".join(f"{title} {value}" for title, value in zip(head[1:], rows[0][1:], strict=True) if value)
        return labelled_lines(rows[0][0], values, min(max(width_of(rows[0][0]), 10), 20) + 2, width)
    hint = wrap(f"→ all columns: {show_all_command}", width, "dim")
    return [*(fit(row, width) for row in table(rows, columns, width)), *hint]


def _value_text(name: str, value: Any) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and name.endswith("bytes"):
        return size(value)
    if number and name.endswith("seconds"):
        return duration(value)
    return format_value(value)
