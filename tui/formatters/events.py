"""Events as rows and lines."""

from __future__ import annotations

from datetime import datetime

from core.api_schema import AnalysisState, Event, EventQuery, Priority
from core.service_client import text_formats
from tui.formatters.cameras import detector_name
from tui.formatters.cells import Cell, Column, Line, Span, enum_span, fit, labelled_lines, line, wrap
from tui.formatters.numbers import coarse_duration, local_time, size

PRIORITY_SPANS: dict[Priority, Span] = {
    Priority.LOW: Span("low", "dim"),
    Priority.NORMAL: Span("normal"),
    Priority.HIGH: Span("! high", "warn"),
    Priority.CRITICAL: Span("!! critical", "error"),
}
URGENT = (Priority.HIGH, Priority.CRITICAL)
ACTION_MARKS = {"done": Span("✓ ", "ok"), "failed": Span("✗ ", "error"), "skipped": Span("– ", "dim")}
COLUMNS = (  # only those that the service can sort by
    Column("started", 16, sort=lambda event: event.started.timestamp()),
    Column("", 2),
    Column("camera", minimum=10),
    Column("type", minimum=14, rank=1),
    Column("priority", 11, rank=3),
    Column("score", 5, right=True, rank=4, sort=lambda event: event.score),
    Column("lasted", 7, right=True, rank=5),
    Column("what", minimum=20, rank=2, weight=4),
)
LABEL_WIDTH = 13


def local_datetime(moment: datetime | None) -> str:
    """A time in this machine's time zone, "" for None."""
    return local_time(moment.timestamp()) if moment else ""


def acknowledged_mark(event: Event) -> Span:
    """Whether the event is acknowledged (✓), ongoing (◐) or waiting (●)."""
    if event.acknowledged:
        return Span("✓", "dim")
    return Span("◐" if event.ended is None else "●", "error" if event.priority in URGENT else "warn")


def description(event: Event) -> str:
    """The analyser's description, else the objects that were detected, else the state of the analysis."""
    if event.unreadable:
        return f"the service's answer cannot be read: {event.unreadable}"
    if event.analysis.description:
        return " ".join(event.analysis.description.split())
    if event.facts:
        return ", ".join(sorted({fact.label for fact in event.facts}))
    state = event.analysis.state
    return f"analysis {state.word}" if state in (AnalysisState.PENDING, AnalysisState.FAILED) else ""


def row(event: Event) -> tuple[Cell, ...]:
    """One event in a list."""
    lasted = coarse_duration((event.ended - event.started).total_seconds()) if event.ended else "ongoing"
    return (
        local_datetime(event.started),
        acknowledged_mark(event),
        event.camera_name or event.camera or "?",
        event.type,
        enum_span(PRIORITY_SPANS, event.priority),
        f"{event.score:.2f}",
        lasted,
        Span(description(event), "dim" if event.acknowledged else ""),
    )


def detail(event: Event, width: int) -> list[Line]:
    """All facts of one event, its analysis first."""
    ended = f" to {local_datetime(event.ended)}" if event.ended else ", ongoing"
    facts: list[tuple[str, Cell]] = [
        (
            "what",
            line(
                event.type,
                ", priority ",
                enum_span(PRIORITY_SPANS, event.priority),
                Span("  protected" if event.protected else "", "ok"),
            ),
        ),
        ("camera", f"{event.camera_name or event.camera}{f', {event.zone}' if event.zone else ''}"),
        ("when", f"{local_datetime(event.started)}{ended}"),
        ("detected", f"{local_datetime(event.decided)} by {detector_name(event.detector) or 'the detector'}"),
        ("score", _score_text(event)),
        ("clip", _clip_cell(event)),
        ("acknowledged", _acknowledged_cell(event)),
    ]
    out = _analysis_lines(event, width)
    for name, value in facts:
        if value:
            out += labelled_lines(name, value, LABEL_WIDTH, width)
    if event.unreadable:
        out += wrap(description(event), width, "warn")
    if event.note:
        out += [line(), *wrap(f"“{event.note}”", width, "accent")]
    if event.facts:
        out += [line(), line(Span("objects in the picture", "dim"))]
        out += [line(f"  {fact.label}", Span(f"  {fact.score:.2f}", "dim")) for fact in event.facts]
    if event.actions:
        took = f", all within {event.response_time:.1f} s" if event.response_time is not None else ""
        out += [line(), line(Span(f"actions{took}", "dim"))]
        for action in event.actions:
            text = f"{action.step}{f': {action.detail}' if action.detail else ''}"
            first, *rest = wrap(text, max(width - 2, 1), indent="  ")
            out += [(*_action_mark(action.state), *first), *((Span("  "), *rest_line) for rest_line in rest)]
    return out


def _action_mark(state: str) -> Line:
    return line(ACTION_MARKS.get(state) or f"? {state or 'unknown'} ")


def _score_text(event: Event) -> str:
    """The score and its threshold; "" for an event without them, such as a lost camera."""
    return f"{event.score:.2f} at its peak, alarm from {event.threshold:.2f}" if event.threshold else ""


def _clip_cell(event: Event) -> Cell:
    clip = event.clip
    if clip.state == "done":
        return f"{clip.seconds:.0f} s, {size(clip.bytes)}"
    if clip.state == "failed":
        return Span(f"failed: {clip.why}", "error")
    is_known = clip.state in ("recording", "none")
    return Span(clip.state if is_known else f"? {clip.state or 'unknown'}", "dim")


def _acknowledged_cell(event: Event) -> Cell:
    if event.acknowledged is None:
        return Span("not yet (a)", "warn")
    return f"{local_datetime(event.acknowledged)} by {text_formats.format_acknowledger(event)}"


def _analysis_lines(event: Event, width: int) -> list[Line]:
    analysis = event.analysis
    if analysis.state is AnalysisState.NONE:
        return []
    confidence = f", {analysis.confidence:.0%} sure" if analysis.confidence is not None else ""
    took = f", {analysis.seconds:.1f} s" if analysis.seconds is not None else ""
    head = line(Span(f"analysis {analysis.state.word}", "dim"), Span(f"  {analysis.backend}{confidence}{took}", "dim"))
    text = analysis.description or analysis.why
    return [*(wrap(text, width, "title" if analysis.description else "warn") if text else []), fit(head, width), line()]


def filter_text(query: EventQuery) -> str:
    """A filter in words, for the list's title; "" when it keeps everything."""
    parts = [
        f"camera {query.camera}" if query.camera else "",
        f"product {query.product}" if query.product else "",
        f"type {query.type}" if query.type else "",
        f"priority {query.priority.value}" if query.priority else "",
        f"score ≥ {query.minimum_score:.2f}" if query.minimum_score is not None else "",
        "" if query.acknowledged is None else "acknowledged" if query.acknowledged else "waiting",
        f"since {local_datetime(query.since)}" if query.since else "",
        f"until {local_datetime(query.until)}" if query.until else "",
        f"“{query.text}”" if query.text else "",
        f"by {query.sort}, {'lowest' if query.sort == 'score' else 'oldest'} first" if query.ascending else "",
        "highest score first" if query.sort == "score" and not query.ascending else "",
    ]
    return " · ".join(part for part in parts if part)
