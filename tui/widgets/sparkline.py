"""A history as one line of text."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int, top: float | None = None, *, step: int = 1) -> str:
    """The last values as `width` bars, padded with blanks on the left while there are fewer.

    `top` is the value of a full bar (the largest value when None). With `step` n one bar stands for the largest of n
    values, on fixed boundaries as long as `values` only grows at its end by one a call and is at most n * width long;
    the graph then moves only with every n-th value, which saves bandwidth. A bar without a value is blank.
    """
    parts = [[value for value in values[at : at + step] if value is not None] for at in range(0, len(values), step)][
        -width:
    ]
    highest = top if top is not None else max((max(part) for part in parts if part), default=0)
    if highest <= 0:
        highest = 1
    last = len(BARS) - 1
    heights = [int(max(part) / highest * last + 0.5) if part else None for part in parts]
    drawn = "".join(" " if height is None else BARS[min(last, max(0, height))] for height in heights)
    return drawn.rjust(width)
