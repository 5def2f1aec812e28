"""Sixel: a fixed palette with ordered dithering, pixels repeated to the size that is needed."""

from __future__ import annotations

from functools import lru_cache

from tui.picture.raster import Raster

BAND = 6  # rows of pixels in one band
LEVELS = 6  # of each colour: a palette of 216, under the 256 registers of terminals
_STEP = 255 / (LEVELS - 1)
_BAYER = (0.0, 0.5, 0.75, 0.25)  # for the pixel's place in a square of two: (0,0) (1,0) (0,1) (1,1)


def zooms(cell_width: int, columns: int) -> list[tuple[int, int]]:
    """(picture width, screen pixels a picture pixel) that fill at most so many cells, the coarsest first.

    Only divisors of a band: each band then holds whole rows of the picture.
    """
    return [(max(cell_width * columns // zoom, 1), zoom) for zoom in (6, 3, 2)]


@lru_cache(4)
def _steps(offset: int) -> bytes:
    """Value → level, for one place in the dithering square."""
    lift = _BAYER[offset] - 0.375
    return bytes(min(max(int(value / _STEP + 0.5 + lift), 0), LEVELS - 1) for value in range(256))


@lru_cache(1)
def _palette() -> str:
    scale = 100 / (LEVELS - 1)
    return "".join(
        f"#{(r * LEVELS + g) * LEVELS + b};2;{round(r * scale)};{round(g * scale)};{round(b * scale)}"
        for r in range(LEVELS)
        for g in range(LEVELS)
        for b in range(LEVELS)
    )


def encode(raster: Raster, zoom: int) -> str:
    """The sequence that draws the picture at the cursor, each pixel `zoom` (a divisor of 6) screen pixels wide."""
    rows_a_band = BAND // zoom
    shape = (1 << zoom) - 1
    out = [f'\x1bP0;1;0q"1;1;{raster.width * zoom};{raster.height * zoom}{_palette()}']
    for top in range(0, raster.height, rows_a_band):
        colours: dict[int, dict[int, int]] = {}
        for row in range(min(rows_a_band, raster.height - top)):
            bits = shape << (row * zoom)
            for x, colour in enumerate(_indexed(raster, top + row)):
                cells = colours.setdefault(colour, {})
                cells[x] = cells.get(x, 0) | bits
        out.append("$".join(_line(colour, cells, zoom) for colour, cells in colours.items()))
        out.append("-")
    return "".join(out[:-1]) + "\x1b\\"


def _indexed(raster: Raster, y: int) -> list[int]:
    """The palette's numbers of one row of pixels."""
    line = raster.rgb[y * raster.width * 3 : (y + 1) * raster.width * 3]
    even, odd = line.translate(_steps(y % 2 * 2)), line.translate(_steps(y % 2 * 2 + 1))
    out = [0] * raster.width
    for start, levels in ((0, even), (1, odd)):
        red, green, blue = levels[start * 3 :: 6], levels[start * 3 + 1 :: 6], levels[start * 3 + 2 :: 6]
        out[start::2] = [(r * LEVELS + g) * LEVELS + b for r, g, b in zip(red, green, blue, strict=True)]
    return out


def _line(colour: int, cells: dict[int, int], zoom: int) -> str:
    """One colour of one band: its columns left to right, repeats counted. `cells` is in order of first appearance."""
    out = [f"#{colour}"]
    at, run, bits = 0, 0, 0
    for x in sorted(cells):
        pattern = cells[x]
        if run and x == at + run and pattern == bits:
            run += 1
            continue
        if run:
            out.append(_repeat(run * zoom, bits))
        if x > at + run:
            out.append(_repeat((x - at - run) * zoom, 0))
        at, run, bits = x, 1, pattern
    out.append(_repeat(run * zoom, bits))
    return "".join(out)


def _repeat(count: int, bits: int) -> str:
    char = chr(63 + bits)
    return f"!{count}{char}" if count > 3 else char * count
