"""Blends a heat map over a picture: the score of each place, from yellow near the threshold to red far above it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tui.picture.raster import Raster

LEVELS = 16  # shades; more cannot be told apart under a picture
BEGIN = 0.6  # of the threshold: places with a lower score stay as they are
YELLOW, RED = (255, 216, 0), (235, 0, 0)
WEAKEST, STRONGEST = 0.25, 0.7  # how much of the picture's colour is replaced


@dataclass(frozen=True)
class HeatMap:
    """Scores (0 to 255 for 0 to 1) of `height` rows of `width` places, which cover the whole picture."""

    width: int
    height: int
    values: bytes
    threshold: float
    """From which score on (0 to 1) it is a defect."""


def blend(raster: Raster, heat: HeatMap) -> Raster:
    """The picture with the heat map over it."""
    columns = _places(raster.width, heat.width)
    rgb, span = bytearray(raster.rgb), raster.width * 3
    for y, (row, part) in enumerate(_places(raster.height, heat.height)):
        start = y * span
        for first, last, level in _runs(_levels(_row(heat, row, part), columns, heat.threshold)):
            pixels = rgb[start + first * 3 : start + last * 3]
            for channel, table in enumerate(_tables(level)):
                pixels[channel::3] = pixels[channel::3].translate(table)
            rgb[start + first * 3 : start + last * 3] = pixels
    return Raster(raster.width, raster.height, bytes(rgb))


def _places(pixels: int, places: int) -> list[tuple[int, float]]:
    """For each pixel the place whose middle is before it, and how far it is on the way to the next one."""
    out = []
    for pixel in range(pixels):
        at = min(max((pixel + 0.5) * places / pixels - 0.5, 0.0), places - 1.0)
        out.append((int(at), at - int(at)))
    return out


def _row(heat: HeatMap, row: int, part: float) -> list[float]:
    """One row of scores between two rows of places."""
    upper = heat.values[row * heat.width : (row + 1) * heat.width]
    lower = heat.values[(row + 1) * heat.width : (row + 2) * heat.width] or upper
    return [above + (below - above) * part for above, below in zip(upper, lower, strict=True)]


def _levels(row: list[float], columns: list[tuple[int, float]], threshold: float) -> list[int]:
    """The shade of each pixel: 0 for none, LEVELS for the strongest."""
    begin = 255 * BEGIN * threshold
    scale = LEVELS / max(255 - begin, 1.0)
    row = [*row, row[-1]]
    scores = (row[at] + (row[at + 1] - row[at]) * part for at, part in columns)
    return [min(int((score - begin) * scale) + 1, LEVELS) if score > begin else 0 for score in scores]


def _runs(levels: list[int]) -> list[tuple[int, int, int]]:
    """(first, last + 1, shade) of neighbours with the same shade; those without one are left out."""
    out: list[tuple[int, int, int]] = []
    start = 0
    for at in range(1, len(levels) + 1):
        if at == len(levels) or levels[at] != levels[start]:
            if levels[start]:
                out.append((start, at, levels[start]))
            start = at
    return out


@lru_cache(LEVELS + 1)
def _tables(level: int) -> tuple[bytes, ...]:
    """For each colour: what becomes of its values under that shade."""
    share = level / LEVELS
    strength = WEAKEST + (STRONGEST - WEAKEST) * share
    colour = [yellow + (red - yellow) * share for yellow, red in zip(YELLOW, RED, strict=True)]
    return tuple(bytes(round(value * (1 - strength) + tone * strength) for value in range(256)) for tone in colour)
