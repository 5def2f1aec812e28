"""Builds, their stages and comparisons as rows and lines."""

from __future__ import annotations

from core.images.build_history import BuildComparison, BuildOutcome, BuildRecord, StageRecord
from tui.formatters import findings as finding_format
from tui.formatters.cells import Cell, Column, Line, Span, enum_span, fit, line, table, wrap
from tui.formatters.numbers import bar, duration, local_time

OUTCOME_SPANS: dict[BuildOutcome, Span] = {
    BuildOutcome.RUNNING: Span("▶ running", "accent"),
    BuildOutcome.DONE: Span("✓ done", "ok"),
    BuildOutcome.FAILED: Span("✗ failed", "error"),
    BuildOutcome.CANCELLED: Span("■ cancelled", "warn"),
    BuildOutcome.CRASHED: Span("✗ crashed", "error"),
}
COLUMNS = (
    Column("preset", minimum=18, sort=lambda build: build.preset),
    Column("outcome", 11, sort=lambda build: build.outcome.word),
    Column("took", 8, right=True, sort=lambda build: build.seconds or None),
    Column("cached", 7, right=True, rank=1, sort=lambda build: _cached_share(build)),
    Column("started", 16, rank=2, sort=lambda build: build.started),
    Column("target", 9, rank=3, sort=lambda build: build.target),
)
LABEL_WIDTH = 12
SHORT_HASH_LENGTH = 12
STAGE_BAR_WIDTH = 16


def row(build: BuildRecord) -> tuple[Cell, ...]:
    """One build in the list."""
    cached = sum(stage.cached for stage in build.stages)
    return (
        Span(build.preset or "?", "title"),
        enum_span(OUTCOME_SPANS, build.outcome),
        duration(build.seconds) if build.seconds else "",
        f"{cached}/{len(build.stages)}" if build.stages else "",
        Span(local_time(build.started), "dim"),
        Span(build.target, "dim"),
    )


def _cached_share(build: BuildRecord) -> float | None:
    return sum(stage.cached for stage in build.stages) / len(build.stages) if build.stages else None


def detail(build: BuildRecord, with_steps: bool, width: int) -> list[Line]:
    """The build's facts, its error and its stages; `with_steps` also lists the steps of each stage."""
    facts: list[tuple[str, Cell]] = [
        ("outcome", line(enum_span(OUTCOME_SPANS, build.outcome), Span(f"  {local_time(build.started)}", "dim"))),
        ("took", duration(build.seconds) if build.seconds else ""),
        ("image", build.tag),
        ("digest", (build.manifest_digest or build.config_digest).removeprefix("sha256:")[:SHORT_HASH_LENGTH]),
        ("preset", build.preset_sha256[:SHORT_HASH_LENGTH]),
        ("lock", build.lock_sha256[:SHORT_HASH_LENGTH]),
        ("id", build.id),
    ]
    out: list[Line] = [
        (*fit(Span(name, "dim"), LABEL_WIDTH), *fit(value, max(width - LABEL_WIDTH, 1)))
        for name, value in facts
        if value
    ]
    if build.error:
        out += [line(), *wrap(build.error, width, "error")]
        out += [fit(Span(text, "dim"), width) for text in build.last_lines[-6:]]
    if build.stages:
        out += [line(), *stage_lines(build, with_steps, width)]
    if build.findings:
        out += [line(), *finding_format.lines(build.findings, width)]
    return out


def stage_lines(build: BuildRecord, with_steps: bool, width: int) -> list[Line]:
    """The stages with a bar for their time, relative to the longest."""
    longest = max((stage.seconds for stage in build.stages), default=0) or 1
    columns = (Column("", minimum=20), Column("", STAGE_BAR_WIDTH, rank=1), Column("", 8, right=True))
    rows: list[tuple[Cell, ...]] = []
    for stage in build.stages:
        rows.append(
            (
                line(_stage_mark(stage.state, stage.cached), " ", stage.name),
                _time_bar(stage, longest),
                _time_text(stage),
            )
        )
        for step in stage.steps if with_steps else ():
            title = line("  ", _stage_mark(step.state, step.cached), " ", Span(step.title, "dim"))
            rows.append((title, "", Span("cached" if step.cached else f"{step.seconds:.1f} s", "dim")))
    return table(rows, columns, width, titles=False)


def _stage_mark(state: str, cached: bool) -> Span:
    if cached:
        return Span("≡", "ok")
    return {
        "done": Span("✓", "ok"),
        "failed": Span("✗", "error"),
        "running": Span("▶", "accent"),
        "cancelled": Span("■", "warn"),
    }.get(state, Span("○", "dim"))


def _time_bar(stage: StageRecord, longest: float) -> Cell:
    return "" if stage.cached else bar(stage.seconds / longest, STAGE_BAR_WIDTH, "bar")


def _time_text(stage: StageRecord) -> str:
    return "cached" if stage.cached else f"{stage.seconds:.1f} s"


def comparison_lines(comparison: BuildComparison, width: int) -> list[Line]:
    """Why the second build was slower or faster than the first, then stage by stage."""
    slower = "slower" if comparison.seconds > 0 else "faster"
    words = f"{abs(comparison.seconds):.1f} s {slower} than build {comparison.before}"
    out = [line(Span(words, "title")), line()]
    for reason in comparison.reasons or ["no recorded change explains the difference"]:
        first, *rest = wrap(reason, width - 2)
        out += [(Span("· ", "accent"), *first), *[(Span("  "), *more) for more in rest]]
    columns = (
        Column("stage", minimum=18),
        Column("before", 9, right=True),
        Column("after", 9, right=True),
        Column("change", 10, right=True, rank=1),
    )
    rows: list[tuple[Cell, ...]] = []
    for stage in comparison.stages:
        change = (stage.after or 0) - (stage.before or 0)
        role = "error" if change > 1 else "ok" if change < -1 else "dim"
        rows.append(
            (
                stage.name,
                _seconds_text(stage.before, stage.before_cached),
                _seconds_text(stage.after, stage.after_cached),
                Span(f"{change:+.1f} s", role),
            )
        )
    out += [line(), *table(rows, columns, width)]
    if comparison.lock_changes:
        out += [line(), line(Span("changes in the lock", "title"))]
        out += [fit(text, width) for text in comparison.lock_changes]
    return out


def _seconds_text(value: float | None, cached: bool) -> str:
    return "" if value is None else "cached" if cached else f"{value:.1f} s"
