"""A history as one line of text."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int, top: float | None = None, *, step: int = 1) -> str:
    """The last values as `width` bars, padded with blanks on the left while there are fewer.

    `top` is the value of a full bar (the largest value when None). With `step` n one bar stands for the largest of n
    values, on fixed boundaries as long as `values` only grows at its end by one a call and is at most n * width long;
    the graph then moves on every n-th value alone, which a thin line is grateful for.
    """
    groups = [max(values[at : at + step]) for at in range(0, len(values), step)][-width:]
    highest = top if top is not None else max(groups, default=0)
    if highest <= 0:
        highest = 1
    last = len(BARS) - 1
    drawn = "".join(BARS[min(last, max(0, int(value / highest * last + 0.5)))] for value in groups)
    return drawn.rjust(width)
