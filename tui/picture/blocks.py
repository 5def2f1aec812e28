"""Half blocks: two pixels per cell, for every terminal that has colours."""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.picture.raster import Raster

HALF = "▀"
NOISE_LIMIT = 14  # a pixel that differs by less in every colour stays as it was: noise is not worth the line
_FEWER_SHADES = bytes(min(value & 0xF8 | 4, 255) for value in range(256))


def suppress_noise(before: Raster | None, raster: Raster) -> Raster:
    """The new picture in fewer shades; pixels that hardly differ from the old picture keep its colour."""
    rgb = raster.rgb.translate(_FEWER_SHADES)
    if before is None or (before.width, before.height) != (raster.width, raster.height):
        return Raster(raster.width, raster.height, rgb)
    old = before.rgb
    if old == rgb:
        return before
    out = bytearray(rgb)
    for at in range(0, len(rgb), 3):
        if (
            -NOISE_LIMIT < rgb[at] - old[at] < NOISE_LIMIT
            and -NOISE_LIMIT < rgb[at + 1] - old[at + 1] < NOISE_LIMIT
            and -NOISE_LIMIT < rgb[at + 2] - old[at + 2] < NOISE_LIMIT
        ):
            out[at : at + 3] = old[at : at + 3]
    return Raster(raster.width, raster.height, bytes(out))


def strips(raster: Raster) -> list[Strip]:
    """The picture as lines of cells, two rows of pixels each."""
    span = raster.width * 3
    result = []
    for top in range(0, raster.height, 2):
        upper = raster.rgb[top * span : top * span + span]
        lower = raster.rgb[top * span + span : top * span + 2 * span] or upper
        result.append(_strip(upper, lower, raster.width))
    return result


def _strip(upper: bytes, lower: bytes, width: int) -> Strip:
    segments: list[Segment] = []
    start, before = 0, upper[:3] + lower[:3]
    for x in range(1, width):
        colours = upper[x * 3 : x * 3 + 3] + lower[x * 3 : x * 3 + 3]
        if colours != before:
            segments.append(Segment(HALF * (x - start), _style(before)))
            start, before = x, colours
    segments.append(Segment(HALF * (width - start), _style(before)))
    return Strip(segments, width)


@lru_cache(8192)
def _style(colours: bytes) -> Style:
    return Style(color=Color.from_rgb(*colours[:3]), bgcolor=Color.from_rgb(*colours[3:]))
