"""Pixels as the service sends them (PPM), and how many of them fit into a number of cells."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.errors import XaivaError

_HEAD = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")
DEFAULT_CELL_SIZE = (
    8,
    16,
)  # pixels, for terminals that do not report theirs: only the ratio matters


@dataclass(frozen=True)
class Raster:
    """`rgb` are height rows of width pixels, three bytes each."""

    width: int
    height: int
    rgb: bytes


def read_ppm(data: bytes) -> Raster:
    """The picture of a binary PPM file. Raises XaivaError for anything else."""
    head = _HEAD.match(data)
    if head is not None:
        width, height = int(head[1]), int(head[2])
        rgb = data[head.end() :]
        if width and height and len(rgb) == width * height * 3:
            return Raster(width, height, rgb)
    raise XaivaError(
        "Picture", "the service sent something that is not a picture", "use the version of xaiva that the service has"
    )


def fit_cells(
    columns: int, rows: int, width: int, height: int, cell: tuple[int, int] = DEFAULT_CELL_SIZE
) -> tuple[int, int]:
    """The largest columns x rows within an area that show a picture of that shape undistorted, at least 1 x 1."""
    wide = min(columns, int(rows * cell[1] * width / height / cell[0]))
    high = round(wide * cell[0] * height / width / cell[1])
    return max(wide, 1), max(min(high, rows), 1)


def refine_shape(shape: tuple[int, int], raster: Raster) -> tuple[int, int]:
    """The best known shape (width, height) of a picture, given another rendering of it.

    The height of a small rendering is rounded. As long as the known shape fits it, the known shape is kept.
    """
    aspect = shape[0] / shape[1]
    fits = raster.width / (raster.height + 0.5) <= aspect <= raster.width / (raster.height - 0.5)
    return shape if fits else (raster.width, raster.height)


def resize(raster: Raster, width: int, height: int) -> Raster:
    """The picture in other dimensions, by nearest neighbour, which is fast."""
    if (width, height) == (raster.width, raster.height):
        return raster
    rgb, span = raster.rgb, raster.width * 3
    columns = [x * raster.width // width * 3 for x in range(width)]
    lines: dict[int, bytes] = {}
    out = []
    for y in range(height):
        source = y * raster.height // height
        if source not in lines:
            line = rgb[source * span : source * span + span]
            lines[source] = b"".join([line[at : at + 3] for at in columns])
        out.append(lines[source])
    return Raster(width, height, b"".join(out))
