"""Exact squared distances of points to centres, computed only for the pairs that a bound does not rule out.

For a point x and a centre c, |x - c|² = |x|² + |c|² - 2 x·c. In single precision with d channels, and whatever the
order of additions, that is off by less than k (|x|² + |c|²) with k = 2 (d + 16) 2⁻²⁴ [Higham, Accuracy and Stability of
Numerical Algorithms, 3.1: |fl(x·c) - x·c| <= d u / (1 - d u) |x|·|c|; the rest is room for the other roundings]. The
bound only depends on the norms, so one comparison a pair is enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

BLOCK = 1024  # points that are compared at once: their products with some hundred centres stay in the cache
_PAIRS = 1024  # pairs whose distance is computed at once, in double precision
_TINY = 1e-30  # beyond what is lost where single precision ends

# OpenBLAS computes a product in the calling thread while rows * columns * depth <= 262144; a matrix with one column
# is another routine, with another limit.
_SMALL_PRODUCT = 262144
_MAX_TILE, _MIN_TILE = 32, 4  # rows and columns of one small product


class Centres:
    """Some of the points, prepared for comparing other points with them."""

    def __init__(self, points: Values, squares: Doubles, chosen: Indices) -> None:
        """`squares` are the squared norms of all points, `chosen` the indices of the centres."""
        channels = points.shape[1]
        count = len(chosen)
        tiles = -(-count // _MAX_TILE)
        width = max(_MIN_TILE, -(-count // tiles))
        columns = tiles * width
        self.rows = points[chosen]
        self.error = 2 * _error(channels) * squares[chosen]
        self.constants = np.full(columns, np.inf, np.float32)  # beyond `count`: never near
        self.constants[:count] = squares[chosen] - self.error / 2
        padded = np.zeros((columns, channels), np.float32)
        np.multiply(self.rows, -2, out=padded[:count])
        self.tiles = np.ascontiguousarray(padded.reshape(tiles, width, channels).transpose(0, 2, 1))


class DistanceScreen:
    """Compares points with centres. It holds its buffers, so each thread needs one of its own."""

    def __init__(self, points: Values, squares: Doubles) -> None:
        self._points = points
        self._squares = squares
        self._error = _error(points.shape[1])
        self._products: Values = np.empty(0, np.float32)
        self._padded: Values | None = None

    def lower(self, nearest: Doubles, start: int, stop: int, centres: Centres) -> None:
        """Lower `nearest` of the points from `start` to `stop` (at most BLOCK) to their distance to a nearer centre."""
        squares = self._squares[start:stop]
        products = self._multiply(self._points[start:stop], centres)
        pairs = np.flatnonzero(products < self._limits(nearest[start:stop], squares)[:, None])
        if not len(pairs):
            return
        rows, columns = np.divmod(pairs, products.shape[1])
        low = products.ravel()[pairs]
        begins = np.flatnonzero(np.diff(rows, prepend=-1))  # of each row
        best = np.minimum.reduceat(low + 2 * centres.error[columns], begins) + 4 * self._error * squares[rows[begins]]
        possible = low <= np.repeat(best, np.diff(begins, append=len(rows)))
        rows, columns = rows[possible], columns[possible]
        rows += start
        np.minimum.at(nearest, rows, self._exact(rows, centres, columns))

    def between(self, chosen: Indices, centres: Centres, nearest: Doubles) -> Doubles:
        """The distance of each centre to each chosen point (centres x points), infinite where above its `nearest`."""
        distances = np.full((len(centres.rows), len(chosen)), np.inf)
        for start in range(0, len(chosen), BLOCK):
            rows = chosen[start : start + BLOCK]
            products = self._multiply(self._points[rows], centres)
            below = products < self._limits(nearest[start : start + BLOCK], self._squares[rows])[:, None]
            at, columns = np.nonzero(below)
            distances[columns, at + start] = self._exact(rows[at], centres, columns)
        return distances

    def _multiply(self, rows: Values, centres: Centres) -> Values:
        """Lower bounds of |row - centre|² - |row|², less the part of the error that depends on the row."""
        tiles, channels, width = centres.tiles.shape
        height = _MAX_TILE
        while height > 2 and height * width * channels > _SMALL_PRODUCT:
            height //= 2
        count, columns = len(rows), tiles * width
        if count % height:
            rows = self._pad(rows)
        if self._products.size < len(rows) * columns:
            self._products = np.empty(BLOCK * columns, np.float32)
        products = self._products[: len(rows) * columns].reshape(len(rows), columns)
        out = products.reshape(-1, height, tiles, width).transpose(0, 2, 1, 3)
        np.matmul(rows.reshape(-1, 1, height, channels), centres.tiles, out=out)
        products += centres.constants
        return products[:count]

    def _pad(self, rows: Values) -> Values:
        """The rows in a buffer of BLOCK rows; whatever follows them does not matter."""
        if self._padded is None:
            self._padded = np.zeros((BLOCK, rows.shape[1]), np.float32)
        self._padded[: len(rows)] = rows
        return self._padded

    def _limits(self, nearest: Doubles, squares: Doubles) -> Values:
        """What the products of a pair must be below so that its distance may be below `nearest`."""
        limits: Values = (nearest - squares * (1 - self._error) + _TINY).astype(np.float32)
        return limits

    def _exact(self, rows: Indices, centres: Centres, columns: Indices) -> Doubles:
        """The squared distance of pairs in double precision; of a pair always the same, bit by bit."""
        distances = np.empty(len(rows))
        for start in range(0, len(rows), _PAIRS):
            part = slice(start, start + _PAIRS)
            differences = self._points[rows[part]].astype(np.float64)
            differences -= centres.rows[columns[part]]
            np.einsum("ij,ij->i", differences, differences, out=distances[part])
        return distances


def _error(channels: int) -> float:
    """The bound of the error, as a factor on the squared norms."""
    return 2 * (channels + 16) * 2.0**-24
