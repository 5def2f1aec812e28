"""Findings as lines: errors first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from core.findings import Finding, Level
from tui.formatters.cells import Line, Span, line, wrap

LEVEL_MARKS: dict[Level, Span] = {
    Level.ERROR: Span("✗ ", "error"),
    Level.WARNING: Span("! ", "warn"),
    Level.NOTE: Span("· ", "dim"),
}
UNKNOWN_MARK = Span("? ")
LEVEL_ORDER = {Level.ERROR: 0, Level.WARNING: 1, Level.NOTE: 2}


def lines(findings: Sequence[Finding], width: int, none_text: str = "no problems found") -> list[Line]:
    """Each finding with its reason and remedy."""
    if not findings:
        return [line(Span("✓ ", "ok"), none_text)]
    out: list[Line] = []
    for finding in sorted(findings, key=lambda finding: LEVEL_ORDER.get(finding.level, 1)):
        level = finding.level
        first, *rest = wrap(finding.what if level.is_known else f"{level.word}: {finding.what}", width - 2)
        out.append((LEVEL_MARKS.get(level, UNKNOWN_MARK), *first))
        out += [(Span("  "), *rest_line) for rest_line in rest]
        out += [(Span("  "), *rest_line) for rest_line in wrap(finding.why, width - 2, "dim") if finding.why]
        if finding.remedy:
            out += [
                (Span("  "), *rest_line) for rest_line in wrap(f"→ {finding.remedy}", width - 2, "accent", indent="  ")
            ]
    return out


def mark(level: Level) -> Span:
    """The sign of a level, without the blank behind it."""
    return Span(LEVEL_MARKS.get(level, UNKNOWN_MARK).text.strip(), LEVEL_MARKS.get(level, UNKNOWN_MARK).role)


def severity(findings: Sequence[Finding]) -> float:
    """How bad the findings are, for sorting: errors before warnings, then more before fewer."""
    if not findings:
        return len(LEVEL_ORDER)
    worst = min(LEVEL_ORDER.get(finding.level, 1) for finding in findings)
    count = sum(LEVEL_ORDER.get(finding.level, 1) == worst for finding in findings)
    return worst + 1 / (1 + count)


def summary(findings: Sequence[Finding]) -> Line:
    """`2 errors`, `1 warning` or `1 note`. "fine" only without findings: a note may say that something is unknown."""
    counts = Counter(finding.level for finding in findings)
    if not counts:
        return line(Span("✓ fine", "ok"))
    worst = min(counts, key=lambda level: (LEVEL_ORDER.get(level, 1), not level.is_known))
    if not worst.is_known:
        return line(Span(f"? {worst.word}"))
    mark, count = LEVEL_MARKS[worst], counts[worst]
    return line(Span(f"{mark.text}{count} {worst.value}{'' if count == 1 else 's'}", mark.role))
