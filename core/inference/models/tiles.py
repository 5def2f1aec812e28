"""Region and tiles of a product: cuts a picture for its memory bank, and joins the maps of scores again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.api_schema import Region
from core.errors import InputError
from core.inference.models.detector import Picture

MIN_TILE = 8  # pixels of a side

ScoreMap = NDArray[np.float32]  # rows x columns, 0 to 1


def cut_tiles(picture: Picture, region: Region, tiles: tuple[int, int]) -> list[Picture]:
    """The tiles (columns, rows) of the region of a picture, row by row; views of its pixels.

    Raises InputError when the picture is too small for them.
    """
    height, width = picture.shape[:2]
    columns, rows = tiles
    lefts = _edges(region.left, region.right, columns, width)
    tops = _edges(region.top, region.bottom, rows, height)
    if min(np.diff(lefts).min(), np.diff(tops).min()) < MIN_TILE:
        why = f"it has {width} x {height} pixels, too few for {columns} x {rows} tiles of the product's region"
        raise InputError("The picture", why, "send larger pictures, or set fewer tiles")
    return [
        picture[tops[row] : tops[row + 1], lefts[column] : lefts[column + 1]]
        for row in range(rows)
        for column in range(columns)
    ]


def join_maps(maps: Sequence[ScoreMap], region: Region, tiles: tuple[int, int]) -> ScoreMap:
    """The map of the whole picture from those of its tiles, row by row; 0 outside of the region."""
    columns, rows = tiles
    inside = np.concatenate([np.concatenate(maps[row * columns : (row + 1) * columns], axis=1) for row in range(rows)])
    height, width = inside.shape
    whole_width = round(width / (region.right - region.left))
    whole_height = round(height / (region.bottom - region.top))
    left = min(round(region.left * whole_width), whole_width - width)
    top = min(round(region.top * whole_height), whole_height - height)
    whole: ScoreMap = np.zeros((whole_height, whole_width), np.float32)
    whole[top : top + height, left : left + width] = inside
    return whole


def _edges(first: float, last: float, parts: int, size: int) -> NDArray[np.int_]:
    """The pixels at which the parts between two fractions of a side begin, and the end of the last one."""
    return np.rint(np.linspace(first, last, parts + 1) * size).astype(int)
