"""Jobs of the service, their stages, queue and comparison as rows and lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.api_schema import Job, JobQuery, JobStage, JobState
from core.operations.model import Operation, OperationFailure, OperationState
from core.operations.outcome import (
    FINDINGS_TOTAL,
    format_value,
    record_table,
    result_label,
    summarize_outcome,
    without_known_total,
)
from core.progress import Stage, StageState, stage_tree
from tui.formatters import operations as operation_format
from tui.formatters.cells import Cell, Column, Line, Span, enum_span, fit, labelled_lines, line, table, width_of, wrap
from tui.formatters.numbers import duration, local_time

COLUMNS = (
    Column("#", 4, right=True, sort=lambda job: job.id),
    Column("job", minimum=16, sort=lambda job: job.title),
    Column("state", 11, sort=lambda job: job.state.word),
    Column("took", 8, right=True, sort=lambda job: job.seconds),
    Column("result, or why it waits", minimum=18, weight=2, rank=1, sort=lambda job: summary(job)),
    Column("started", 16, rank=2, sort=lambda job: unix(job.started or job.created)),
    Column("by", 14, rank=3, sort=lambda job: job.by),
)
MAX_SUMMARY_VALUES = 3
SECONDS = "seconds"  # in a result; the stages have the times
INCOMPARABLE = (StageState.WAITING, StageState.RUNNING)  # states without a time to compare


def unix(moment: object) -> float:
    """A time of the service as Unix time, 0 for none."""
    return float(moment.timestamp()) if hasattr(moment, "timestamp") else 0.0


def as_operation(job: Job) -> Operation:
    """The job as an operation of a ledger, which it is on the other side."""
    failure = OperationFailure(**job.failure.model_dump()) if job.failure else None
    return Operation(
        id=job.id, kind=job.kind, subject=job.subject, key=job.key, options=job.options,
        state=OperationState(job.state.value), attempt=job.attempt, created=unix(job.created),
        started=unix(job.started), ended=unix(job.ended), seconds=job.seconds, cancel_requested=job.cancel_requested,
        by=job.by, pid=0, log="", result=job.result, failure=failure,
    )  # fmt: skip


def as_stages(stages: Sequence[JobStage]) -> list[Stage]:
    """The stages as those of an operation."""
    return [Stage.model_validate(stage.model_dump()) for stage in stages]


def summary(job: Job) -> str:
    """The outcome in one line, or why the job does not run yet."""
    if job.state is JobState.QUEUED:
        return job.why_queued
    if job.cancel_requested and job.state.live:
        return "cancellation requested"
    result = dict(job.result or {})
    found = result.pop(FINDINGS_TOTAL, 0)
    if record_table("products", products := result.get("products")):
        result = _products_summary(products, result)
    findings = f"{format_value(found)} finding{'' if found == 1 else 's'}" if found else ""
    outcome = summarize_outcome(as_operation(job)) or findings
    values = [
        f"{result_label(name)} {format_value(value)}"
        for name, value in result.items()
        if isinstance(value, (int, float, str)) and not isinstance(value, bool) and value
    ]
    return ", ".join(word for word in (outcome, *values[:MAX_SUMMARY_VALUES]) if word)


def _products_summary(products: Any, result: Mapping[str, Any]) -> dict[str, Any]:
    """The only product's own result; of several, how many were published."""
    records = list(products.values())
    if len(records) == 1:
        return dict(records[0])
    return {"published": f"{sum(bool(one.get('published')) for one in records)} of {len(records)}", **result}


def row(job: Job) -> tuple[Cell, ...]:
    """One job in the list."""
    return (
        str(job.id),
        job.title,
        enum_span(operation_format.STATE_SPANS, OperationState(job.state.value)),
        duration(job.seconds) if job.started else "",
        summary(job),
        Span(local_time(unix(job.started or job.created)), "dim"),
        Span(job.by, "dim"),
    )


def detail(job: Job, now: float, width: int) -> list[Line]:
    """Everything about one job except its log: the stages first while it runs."""
    operation, stages = as_operation(job), as_stages(job.stages)
    head = line(
        enum_span(operation_format.STATE_SPANS, operation.state),
        f"  {job.title}",
        Span(f"  job {job.id}{_share_text(job)}", "dim"),
    )
    out = [fit(head, width)]
    if job.unreadable:
        out += wrap(f"the service's answer cannot be read: {job.unreadable}", width, "warn")
    if job.state is JobState.QUEUED:
        out += wrap(job.why_queued or "it waits; the service does not say what for", width, "warn")
    if job.cancel_requested and job.state.live:
        out.append(line(Span("cancellation requested", "warn")))
    out += operation_format.failure_lines(operation, width)
    facts = wrap(_facts(job), width, "dim")
    if job.state.live:
        under_way = operation_format.stage_lines(_without_ended_parts(stages), now, width, running_first=True)
        return [*out, *_blocks(under_way, facts, _history_lines(job, width))]
    stage_block = operation_format.stage_lines(stages, now, width)
    result = operation_format.result_lines(without_known_total(job.result or {}), width, f"xaiva job show {job.id}")
    return [*out, *facts, *_blocks((), result, stage_block, _history_lines(job, width))]


def _share_text(job: Job) -> str:
    """How many stages of a live job have ended."""
    ended = sum(bool(stage.ended) for stage in job.stages if not stage.parent)
    total = sum(not stage.parent for stage in job.stages)
    return f" · {ended} of {total} stages" if job.state.live and total else ""


def _without_ended_parts(stages: Sequence[Stage]) -> list[Stage]:
    """The stages without the parts of those that have ended: with many products, those would hide what runs now."""
    ended = {stage.id for stage in stages if stage.ended}
    return [stage for stage in stages if stage.parent not in ended]


def _blocks(first: Sequence[Line], *more: Sequence[Line]) -> list[Line]:
    """The blocks with an empty line between each two."""
    out = [*first]
    for block in more:
        out += [line(), *block] if block else []
    return out


def _facts(job: Job) -> str:
    """When, by whom, which attempt, and what it needs."""
    verb = "started" if job.started else "asked for"
    by = f" by {job.by}" if job.by else ""
    words = [
        f"{verb} {local_time(unix(job.started or job.created))}{by}",
        f"took {duration(job.seconds)}" if job.ended else "",
        f"attempt {job.attempt}" if job.attempt > 1 else "",
        f"priority {job.priority.word}",
        f"needs {', '.join(job.resources)}" if job.resources else "",
        ", ".join(f"{name}={format_value(value)}" for name, value in job.options.items()),
    ]
    return " · ".join(word for word in words if word)


def _history_lines(job: Job, width: int) -> list[Line]:
    """What happened to the job, oldest first."""
    columns = (Column("", 16), Column("", minimum=14), Column("", 20, rank=1))
    rows = [(Span(local_time(unix(entry.at)), "dim"), entry.what, Span(entry.by, "dim")) for entry in job.history]
    return table(rows, columns, width, titles=False)


def comparison_lines(before: Job, after: Job, width: int) -> list[Line]:
    """Two jobs side by side: what came out differently, and how long each stage took, in the second one's order."""
    names = (f"job {before.id}", f"job {after.id}")
    heads = [
        fit(line(Span(name, "title"), f"  {job.title}  {duration(job.seconds)}  {summary(job)}"), width)
        for name, job in zip(names, (before, after), strict=True)
    ]
    columns = (
        Column("stage", minimum=18),
        Column(names[0], 10, right=True),
        Column(names[1], 10, right=True),
        Column("change", 9, right=True, rank=1),
    )
    old = {stage.id: stage for stage in as_stages(before.stages)}
    new = {stage.id: stage for stage in as_stages(after.stages)}
    rows = [
        _stage_row(depth, old.get(stage.id), new.get(stage.id))
        for depth, stage in stage_tree([*new.values(), *(old[id] for id in old if id not in new)])
    ]
    times = table(rows, columns, width) if rows else [line(Span("neither has stages", "dim"))]
    return [*heads, *_blocks((), _changed_results(before.result or {}, after.result or {}, names, width), times)]


def _changed_results(old: Mapping[str, Any], new: Mapping[str, Any], jobs: tuple[str, str], width: int) -> list[Line]:
    """What came out differently, product by product; lists, such as findings, and times are left out.

    Nothing for a job without a result, such as a failed one: its line says why.
    """
    rows: list[tuple[str, str]] = []
    for name in dict.fromkeys((*new, *old)) if old and new else ():
        was, now = old.get(name), new.get(name)
        if not (record_table(name, was) or record_table(name, now)):
            rows.append((result_label(name), _change_text(name, was, now)))
            continue
        of_old, of_new = (dict(value or {}) if record_table(name, value) else {} for value in (was, now))
        for record in dict.fromkeys((*of_new, *of_old)):
            in_both = record in of_old and record in of_new
            change = _change_text(record, of_old[record], of_new[record]) if in_both else ""
            rows.append((record, change if in_both else f"only in {jobs[record in of_new]}"))
    changed = [(name, text) for name, text in rows if text]
    label = min(max((width_of(name) for name, _ in changed), default=0), 20) + 2
    return [text for name, change in changed for text in labelled_lines(name, change, label, width)]


def _change_text(name: str, was: Any, now: Any) -> str:
    """`14 → 15`; of values by name those that differ; "" for none."""
    if was == now or name == SECONDS or isinstance(was, list) or isinstance(now, list):
        return ""
    if isinstance(was, dict) and isinstance(now, dict):
        parts = ((one, _change_text(one, was.get(one), now.get(one))) for one in dict.fromkeys((*now, *was)))
        return ", ".join(f"{result_label(one)} {text}" for one, text in parts if text)
    return " → ".join("–" if value is None else format_value(value) for value in (was, now))


def _stage_row(depth: int, old: Stage | None, new: Stage | None) -> tuple[Cell, ...]:
    known = new or old
    assert known is not None
    times = [_seconds(stage) for stage in (old, new)]
    change: Cell = ""
    if times[0] is not None and times[1] is not None:
        difference = times[1] - times[0]
        change = Span(f"{difference:+.1f} s", "error" if difference > 1 else "ok" if difference < -1 else "dim")
    return (f"{'  ' * depth}{known.title}", _time_text(old), _time_text(new), change)


def _seconds(stage: Stage | None) -> float | None:
    if stage is None or stage.state in INCOMPARABLE or not (stage.started and stage.ended):
        return None
    return stage.ended - stage.started


def _time_text(stage: Stage | None) -> str:
    if stage is None:
        return ""
    if stage.state is StageState.CACHED:
        return "cached"
    seconds = _seconds(stage)
    return stage.state.word if seconds is None else f"{seconds:.1f} s"


def filter_text(query: JobQuery) -> str:
    """The filter in a few words, "" for none."""
    words = [
        f"kind {query.kind}" if query.kind else "",
        f"state {query.state.word}" if query.state else "",
        f"subject {query.subject}" if query.subject else "",
        f"since {local_time(unix(query.since))}" if query.since else "",
        f"until {local_time(unix(query.until))}" if query.until else "",
    ]
    return " · ".join(word for word in words if word)
