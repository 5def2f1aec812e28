"""Zones and masks: which part of a picture counts, at the detector's resolution."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.api_schema import CameraRequest
from core.inference.cameras.conversion import convert
from core.inference.cameras.frames import Frame
from core.inference.models.detector import Sample

PolygonPoints: TypeAlias = tuple[tuple[float, float], ...]
Area: TypeAlias = NDArray[np.bool_]


class RegionMask:
    """The zones and masks of a camera. Pixels that do not count become black."""

    def __init__(self, request: CameraRequest) -> None:
        self._camera = request.id
        self._zones = tuple((zone.name, zone.polygon) for zone in request.zones)
        self._masks = request.masks
        self._product = request.detection.product

    def sample(self, frame: Frame, width: int, height: int, pixel_format: str) -> Sample:
        """The frame as a detector's input: uint8, height x width (x channels)."""
        picture = convert(frame.image, width, height, pixel_format)
        area = self.area(width, height)
        if area is not None:
            picture = picture * (area if picture.ndim == 2 else area[..., None])
        return Sample(self._camera, picture, frame.arrived, area, self._product)

    def area(self, width: int, height: int) -> Area | None:
        """Which pixels count, height x width; None for all."""
        if not self._zones and not self._masks:
            return None
        return _build_area(tuple(polygon for _, polygon in self._zones), self._masks, width, height)

    def zone_of(self, difference: NDArray[np.float32]) -> str:
        """The zone with the most change, by the difference of each pixel (height x width); empty without zones."""
        if len(self._zones) < 2:
            return self._zones[0][0] if self._zones else ""
        height, width = difference.shape
        means = [_mean_difference(difference, polygon_area(polygon, width, height)) for _, polygon in self._zones]
        return self._zones[int(np.argmax(means))][0]


def _mean_difference(difference: NDArray[np.float32], area: Area) -> float:
    return float(difference[area].mean()) if area.any() else 0.0


@lru_cache(maxsize=256)
def _build_area(zones: tuple[PolygonPoints, ...], masks: tuple[PolygonPoints, ...], width: int, height: int) -> Area:
    area = np.full((height, width), not zones)
    for polygon in zones:
        area |= polygon_area(polygon, width, height)
    for polygon in masks:
        area &= ~polygon_area(polygon, width, height)
    return area


@lru_cache(maxsize=256)
def polygon_area(polygon: PolygonPoints, width: int, height: int) -> Area:
    """Which pixels (height x width) have their centre inside the polygon (fractions of the picture), by even-odd."""
    x = ((np.arange(width) + 0.5) / width)[None, :]
    y = ((np.arange(height) + 0.5) / height)[:, None]
    area = np.zeros((height, width), dtype=np.bool_)
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > y) != (y2 > y)
        area ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return area
