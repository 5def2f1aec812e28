"""Scores of held-out normal pictures and of known defects as two histograms with the threshold through both."""

from __future__ import annotations

from collections.abc import Sequence

from core.api_schema import ScoreHistogram
from tui.formatters.cells import Line, Span, line, wrap
from tui.formatters.charts import merge_spans
from tui.widgets.sparkline import BARS

MEASURED = 0.5  # scores are scaled so that the memory bank's own threshold is there
LABEL_WIDTH = 7
MAX_BIN_WIDTH = 4
THRESHOLD_MARK = "│"


def threshold_lines(
    histogram: ScoreHistogram, threshold: float, automatic: bool, height: int, width: int
) -> list[Line]:
    """Both histograms, `height` rows each, and what the threshold would mean. `automatic`: as the bank measured it."""
    bins = max(len(histogram.normal), len(histogram.defect), 1)
    bin_width = min(max((width - LABEL_WIDTH - 1) // bins, 1), MAX_BIN_WIDTH)
    mark = min(round(threshold * bins * bin_width), bins * bin_width)
    out = [
        *_chart("normal", histogram.normal, threshold, bin_width, mark, height, wrong_above=True),
        *_chart("defect", histogram.defect, threshold, bin_width, mark, height, wrong_above=False),
        _axis(threshold, mark, bins * bin_width),
    ]
    origin = "as the memory bank measured it" if automatic else "set by hand"
    out += wrap(f"threshold {threshold:.2f}, {origin}", width, "title")
    out += wrap(_meaning(histogram, threshold), width)
    return out


def _chart(
    name: str, counts: Sequence[int], threshold: float, bin_width: int, mark: int, height: int, *, wrong_above: bool
) -> list[Line]:
    """One histogram; the bins on the wrong side of the threshold stand out."""
    top, out = max([*counts, 1]), []
    for row in range(height - 1, -1, -1):
        cells: list[tuple[str, str]] = []
        for index, count in enumerate(counts):
            middle = (index + 0.5) / len(counts)
            wrong = (middle >= threshold) is wrong_above
            text = _block(count / top * height * 8 - row * 8, bool(count) and row == 0)
            cells += [(text, "error" if wrong else "bar")] * bin_width
        cells += [(" ", "")] * (mark + 1 - len(cells))  # also beyond bins that could not be read
        cells[mark] = (THRESHOLD_MARK, "warn")
        label = name if row == height - 1 else str(sum(counts)) if row == height - 2 else ""
        out.append((Span(f"{label:<{LABEL_WIDTH}}", "dim"), *merge_spans(cells)))
    return out


def _block(eighths: float, present: bool) -> str:
    """A character filled to so many eighths; a bin with a single picture is never blank."""
    if eighths < 1:
        return BARS[0] if present else " "
    return BARS[min(int(eighths), 8) - 1]


def _axis(threshold: float, mark: int, columns: int) -> Line:
    """0 and 1 at the ends, the threshold below its line."""
    text = f"{threshold:.2f}"
    at = min(max(mark - 1, 2), columns - len(text) - 1)
    return line(
        Span(f"{'':<{LABEL_WIDTH}}0{' ' * (at - 1)}", "dim"),
        Span(text, "warn"),
        Span(f"{' ' * (columns - at - len(text))}1", "dim"),
    )


def _meaning(histogram: ScoreHistogram, threshold: float) -> str:
    """What would be judged wrongly; the histogram knows no more than its bins."""
    false_alarms = _count_from(histogram.normal, threshold)
    missed = sum(histogram.defect) - _count_from(histogram.defect, threshold)
    normal = f"about {false_alarms} of {sum(histogram.normal)} normal pictures would be false alarms"
    if not sum(histogram.defect):
        return f"{normal}; there are no known defects to compare with"
    return f"{normal}, and about {missed} of {sum(histogram.defect)} defects would be missed"


def _count_from(counts: Sequence[int], threshold: float) -> int:
    """How many scores are at or above the threshold; a bin that it cuts counts in part."""
    above = 0.0
    for index, count in enumerate(counts):
        start, end = index / len(counts), (index + 1) / len(counts)
        above += count * min(max((end - threshold) / (end - start), 0.0), 1.0)
    return round(above)
