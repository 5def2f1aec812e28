"""Inspections as rows and lines: score, verdict, the nearest known pictures."""

from __future__ import annotations

from core.api_schema import Inspection, Neighbour, Verdict
from tui.formatters.cells import Cell, Column, Line, Span, enum_span, fit, labelled_lines, line, wrap
from tui.formatters.jobs import unix
from tui.formatters.numbers import local_time

TIME_WIDTH = len("01-31 12:02")  # without the year; the seconds of today
VERDICT_SPANS: dict[Verdict, Span] = {
    Verdict.NORMAL: Span("✓ normal", "ok"),
    Verdict.DEFECT: Span("✗ defect", "error"),
}
COLUMNS = (
    Column("time", TIME_WIDTH, sort=lambda inspection: unix(inspection.at)),
    Column("score", 5, right=True, sort=lambda inspection: inspection.score),
    Column("verdict", 9, sort=lambda inspection: inspection.verdict.word),
    Column("nearest", minimum=8, rank=1, sort=lambda inspection: nearest_text(inspection)),
    Column("part", 12, rank=2, sort=lambda inspection: inspection.part),
)
LABEL_WIDTH = 11


def title(inspection: Inspection) -> str:
    """The title of its picture."""
    return f"{inspection.verdict.word} {inspection.score:.2f} · {local_time(unix(inspection.at))}"


def row(inspection: Inspection) -> tuple[Cell, ...]:
    """One inspection in the list."""
    over = inspection.score >= inspection.threshold
    return (
        Span(local_time(unix(inspection.at))[-TIME_WIDTH:], "dim"),
        Span(f"{inspection.score:.2f}", "error" if over else ""),
        verdict_span(inspection),
        nearest_text(inspection),
        Span(inspection.part, "dim"),
    )


def verdict_span(inspection: Inspection) -> Span:
    """The verdict; `*` after the one that a person gave."""
    verdict = enum_span(VERDICT_SPANS, inspection.corrected or inspection.verdict)
    return Span(f"{verdict.text}*", verdict.role) if inspection.corrected else verdict


def nearest_text(inspection: Inspection) -> str:
    """The type of the nearest known defect, and how similar it is."""
    if inspection.corrected_type:
        return inspection.corrected_type
    nearest = max(inspection.defects, key=lambda neighbour: neighbour.similarity, default=None)
    return f"{nearest.label} {nearest.similarity:.2f}" if nearest else ""


def detail(inspection: Inspection, width: int) -> list[Line]:
    """Everything about one inspection except its picture."""
    judged = enum_span(VERDICT_SPANS, inspection.verdict)
    head = line(judged, f"  score {inspection.score:.3f}", Span(f"  threshold {inspection.threshold:.2f}", "dim"))
    out = [fit(head, width)]
    if inspection.corrected is not None:
        kind = f" ({inspection.corrected_type})" if inspection.corrected_type else ""
        by = f" by {inspection.corrected_by}" if inspection.corrected_by else ""
        out += wrap(f"corrected to {inspection.corrected.word}{kind}{by}", width, "accent")
    out += wrap(inspection.note, width) if inspection.note else []
    indexes = f", indexes {inspection.normal_index or '–'} / {inspection.defect_index or '–'}"
    facts: list[tuple[str, Cell]] = [
        ("at", local_time(unix(inspection.at))),
        ("part", inspection.part),
        ("generation", f"bank {inspection.bank}{indexes}"),
        ("event", inspection.event),
        ("took", ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in inspection.seconds.items())),
        ("id", inspection.id),
    ]
    for name, value in facts:
        out += labelled_lines(name, value, LABEL_WIDTH, width) if value else []
    for title, neighbours in (("nearest defects", inspection.defects), ("nearest normals", inspection.normals)):
        out += _neighbour_lines(title, neighbours, width)
    if inspection.explanation:
        out += wrap(inspection.explanation, width, "dim")
    return out


def _neighbour_lines(title: str, neighbours: list[Neighbour], width: int) -> list[Line]:
    if not neighbours:
        return []
    heading = line(Span(title, "title"))
    return [
        heading,
        *(fit(line(f"{one.similarity:6.3f}  {one.label}  ", Span(one.key, "dim")), width) for one in neighbours),
    ]
