"""Draws smooth shapes into a picture: the few that the scenes of the demo consist of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 360  # pixels of every generated picture

Rgb = NDArray[np.uint8]  # height x width x 3
Colour = tuple[int, int, int]
Point = tuple[float, float]  # x, y in pixels from the upper left corner
_Distances = NDArray[np.float32]  # of pixels from the edge of a shape; negative inside
_DistanceFunction = Callable[[_Distances, _Distances], _Distances]  # of the pixels' x and y

# Columns of five by seven dots, the lowest bit at the top.
_LETTERS = {
    "D": (0x7F, 0x41, 0x41, 0x22, 0x1C),
    "E": (0x7F, 0x49, 0x49, 0x49, 0x41),
    "M": (0x7F, 0x02, 0x0C, 0x02, 0x7F),
    "O": (0x3E, 0x41, 0x41, 0x41, 0x3E),
}


class Canvas:
    """A picture to draw into, optionally a copy of another one. Shapes may reach beyond its edges."""

    def __init__(self, background: Rgb | None = None) -> None:
        self.pixels: Rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8) if background is None else background.copy()

    def gradient(self, top: float, bottom: float, above: Colour, below: Colour) -> None:
        """Fill the rows from `top` to `bottom` with a gradient."""
        rows = np.arange(int(top), int(bottom))
        shares = ((rows - top) / max(1.0, bottom - top))[:, None]
        colours = np.array(above) * (1 - shares) + np.array(below) * shares
        self.pixels[rows] = colours[:, None, :].astype(np.uint8)

    def grain(self, strength: int, seed: int) -> None:
        """Add the grain of a surface, always the same for one seed."""
        noise = np.random.default_rng(seed).integers(-strength, strength + 1, (HEIGHT, WIDTH, 1))
        self.pixels = np.clip(self.pixels.astype(np.int16) + noise, 0, 255).astype(np.uint8)

    def box(self, centre: Point, size: Point, colour: Colour, *, radius: float = 0.0, angle: float = 0.0) -> None:
        """A filled box with rounded corners, turned by `angle` (radians) around its centre."""
        cosine, sine = math.cos(angle), math.sin(angle)
        reach_x = (abs(size[0] * cosine) + abs(size[1] * sine)) / 2
        reach_y = (abs(size[0] * sine) + abs(size[1] * cosine)) / 2

        def distances(x: _Distances, y: _Distances) -> _Distances:
            across = np.abs((x - centre[0]) * cosine + (y - centre[1]) * sine) - (size[0] / 2 - radius)
            down = np.abs((y - centre[1]) * cosine - (x - centre[0]) * sine) - (size[1] / 2 - radius)
            outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
            edge: _Distances = outside + np.minimum(np.maximum(across, down), 0) - np.float32(radius)
            return edge

        x0, y0 = centre
        self._fill(x0 - reach_x, y0 - reach_y, x0 + reach_x, y0 + reach_y, distances, colour)

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        """A filled circle."""
        (x0, y0), r = centre, radius
        self._fill(x0 - r, y0 - r, x0 + r, y0 + r, lambda x, y: np.hypot(x - x0, y - y0) - np.float32(r), colour)

    def line(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        """A straight line with round ends."""
        length = math.dist(start, end)
        centre = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        angle = math.atan2(end[1] - start[1], end[0] - start[0])
        self.box(centre, (length + width, width), colour, radius=width / 2, angle=angle)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        """A filled convex polygon, its corners in the order of a clock's hands."""

        def distances(x: _Distances, y: _Distances) -> _Distances:
            edges = []
            for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
                length = math.hypot(x1 - x0, y1 - y0)
                edges.append(((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / np.float32(length))
            nearest: _Distances = np.maximum.reduce(edges)
            return nearest

        xs, ys = [x for x, _ in points], [y for _, y in points]
        self._fill(min(xs), min(ys), max(xs), max(ys), distances, colour)

    def text(self, corner: tuple[int, int], text: str, colour: Colour, dot: int = 8) -> None:
        """Letters of dots, so many pixels wide each, from the upper left `corner`."""
        left, top = corner
        for letter in text:
            for column, bits in enumerate(_LETTERS[letter]):
                for row in range(7):
                    if bits >> row & 1:
                        x, y = left + column * dot, top + row * dot
                        self.pixels[y : y + dot, x : x + dot] = colour
            left += 6 * dot

    def _fill(
        self, left: float, top: float, right: float, bottom: float, distances: _DistanceFunction, colour: Colour
    ) -> None:
        x0, x1 = max(0, int(left) - 1), min(WIDTH, int(right) + 2)
        y0, y1 = max(0, int(top) - 1), min(HEIGHT, int(bottom) + 2)
        if x0 >= x1 or y0 >= y1:
            return
        x = np.arange(x0, x1, dtype=np.float32)[None, :] + np.float32(0.5)
        y = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5)
        cover = np.clip(0.5 - distances(x, y), 0, 1)[:, :, None]  # of a pixel on the edge: a part of it
        area = self.pixels[y0:y1, x0:x1]
        area[:] = (area + (np.array(colour, np.float32) - area) * cover).astype(np.uint8)
