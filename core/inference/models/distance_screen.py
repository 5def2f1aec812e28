"""Exact squared distances of points to centres, computed only for the pairs that a bound does not rule out.

For a point x and a centre c, |x - c|² = |x|² + |c|² - 2 x·c. In single precision with d channels, and whatever the
order of additions, that is off by less than k (|x|² + |c|²) with k = 2 (d + 16) 2⁻²⁴ [Higham, Accuracy and Stability of
Numerical Algorithms, 3.1: |fl(x·c) - x·c| <= d u / (1 - d u) |x|·|c|; the rest is room for the other roundings]. The
bound only depends on the norms, so one comparison a pair is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
        self.chosen = chosen
        self.error = 2 * _error(channels) * squares[chosen]
        self.constants = np.full(columns, np.inf, np.float32)  # beyond `count`: never near
        self.constants[:count] = squares[chosen] - self.error / 2
        padded = np.zeros((columns, channels), np.float32)
        np.multiply(points[chosen], -2, out=padded[:count])
        self.tiles = np.ascontiguousarray(padded.reshape(tiles, width, channels).transpose(0, 2, 1))


class DistanceScreen:
    """Compares points with centres. It holds its buffers, so each thread needs one of its own."""

    def __init__(self, points: Values, squares: Doubles) -> None:
        self._points = points
        self._squares = squares
        self._error = _error(points.shape[1])
        self._gathered = np.zeros((BLOCK, points.shape[1]), np.float32)
        self._products: Values = np.empty(0, np.float32)

    def lower(
        self, nearest: Doubles, rows: Indices, compared: Indices, rounds: Sequence[Centres], beat: Callable[[], None]
    ) -> None:
        """Lower `nearest` of these points (at most BLOCK) to their distance to a nearer one of the centres.

        `compared`, in ascending order, says for each of them how many of the rounds it has been compared with. Calls
        `beat` before each of the others.
        """
        self._gather(rows)
        squares, lowered = self._squares[rows], nearest[rows]
        for number in range(int(compared[0]), len(rounds)):
            beat()
            count, centres = int(np.searchsorted(compared, number, "right")), rounds[number]
            products = self._multiply(count, centres)
            pairs = np.flatnonzero(products < self._limits(lowered[:count], squares[:count])[:, None])
            if len(pairs):
                at, columns = self._possible(pairs, products, squares, centres)
                np.minimum.at(lowered, at, self.exact(rows[at], centres.chosen[columns]))
        nearest[rows] = lowered

    def _possible(
        self, pairs: Indices, products: Values, squares: Doubles, centres: Centres
    ) -> tuple[Indices, Indices]:
        """Of pairs with a point (row by row), those whose centre may be the nearest of its row: rows, and columns."""
        rows, columns = np.divmod(pairs, products.shape[1])
        low = products.ravel()[pairs]
        begins = np.flatnonzero(np.diff(rows, prepend=-1))  # of each row
        best = np.minimum.reduceat(low + 2 * centres.error[columns], begins) + 4 * self._error * squares[rows[begins]]
        possible = low <= np.repeat(best, np.diff(begins, append=len(rows)))
        return rows[possible], columns[possible]

    def bounds(self, chosen: Indices) -> Doubles:
        """A lower bound of the distance between each two of the chosen points (a symmetric matrix)."""
        centres = Centres(self._points, self._squares, chosen)
        bounds = np.empty((len(chosen), len(chosen)))
        for start in range(0, len(chosen), BLOCK):
            rows = chosen[start : start + BLOCK]
            self._gather(rows)
            bounds[start : start + BLOCK] = self._multiply(len(rows), centres)[:, : len(chosen)]
        bounds += (self._squares[chosen] * (1 - self._error) - _TINY)[:, None]
        return bounds

    def exact(self, first: Indices, second: Indices) -> Doubles:
        """The squared distance of pairs of points in double precision; of a pair always the same, bit by bit."""
        distances = np.empty(len(first))
        for start in range(0, len(first), _PAIRS):
            part = slice(start, start + _PAIRS)
            differences = self._points[first[part]].astype(np.float64)
            differences -= self._points[second[part]]
            np.einsum("ij,ij->i", differences, differences, out=distances[part])
        return distances

    def _gather(self, rows: Indices) -> None:
        np.take(self._points, rows, axis=0, out=self._gathered[: len(rows)], mode="clip")  # other modes use a buffer

    def _multiply(self, count: int, centres: Centres) -> Values:
        """For the first `count` gathered rows lower bounds of |row - centre|² - |row|², less the row's own error."""
        tiles, channels, width = centres.tiles.shape
        height = _MAX_TILE
        while height > 2 and height * width * channels > _SMALL_PRODUCT:
            height //= 2
        columns, taken = tiles * width, -(-count // height) * height  # what follows the rows does not matter
        if self._products.size < taken * columns:
            self._products = np.empty(BLOCK * columns, np.float32)
        products = self._products[: taken * columns].reshape(taken, columns)
        out = products.reshape(-1, height, tiles, width).transpose(0, 2, 1, 3)
        np.matmul(self._gathered[:taken].reshape(-1, 1, height, channels), centres.tiles, out=out)
        products += centres.constants
        return products[:count]

    def _limits(self, nearest: Doubles, squares: Doubles) -> Values:
        """What the products of a pair must be below so that its distance may be below `nearest`."""
        limits: Values = (nearest - squares * (1 - self._error) + _TINY).astype(np.float32)
        return limits


def _error(channels: int) -> float:
    """The bound of the error, as a factor on the squared norms."""
    return 2 * (channels + 16) * 2.0**-24
