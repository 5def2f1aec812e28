"""Greedy k-center coresets: the same selection as one pick after another gives, with far fewer passes over the points.

A pick depends only on the point with the largest distance to those picked before, and these distances only shrink. The
algorithm therefore takes the points that are farthest now (the pool), and picks among them alone for as long as the
farthest of them is beyond everything outside the pool. All picks of such a round are then compared with all points in
one blocked matrix product.

The result does not depend on how that product rounds. It is computed in single precision and with a bound of its
error, and decides only which pairs of points need not be looked at. What counts is the distance in double precision of
each other pair, always added up in the same order. Ties go to the lowest index. The pool's size, the number of threads
and the processor therefore change the time it takes and nothing else.

The products are stacks of matrices so small that BLAS starts no threads for them: in the service those would fight the
cameras' decoders. `threads` of this module share the points instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np

from core.errors import InputError
from core.inference.models.distance_screen import BLOCK, Centres, DistanceScreen, Doubles, Indices, Values

POOL = 256  # points that are looked at for picks in one round; measured
REPORT_SECONDS = 0.1  # between two looks at `stopped` and two reports
LARGEST = 1e15  # of a value: squares must stay far from the end of single precision

Report = Callable[[int, int], None]


def select_coreset(
    points: Values,
    count: int,
    *,
    seed: int | None = None,
    progress: Report | None = None,
    stopped: Callable[[], bool] = lambda: False,
    threads: int = 1,
    pool: int = POOL,
) -> Indices:
    """The indices of up to `count` of the points (n x channels), each the one farthest from those picked before.

    The first is drawn with `seed`; without one it is the point nearest to the origin. `progress(picked, count)` and
    `stopped()` are called several times a second. Beside the points it takes some bytes a point and a few megabytes.

    Raises InputError for values that are no numbers or too large, InterruptedError when stopped.
    """
    count = min(count, len(points))
    if count <= 0:
        return np.empty(0, np.int64)
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as workers:
        selection = _Selection(np.ascontiguousarray(points, np.float32), count, _Pulse(progress, stopped), workers)
        selection.start(seed)
        while selection.picked < count:
            selection.round(pool)
        if progress is not None:
            progress(count, count)
    return selection.chosen


class _Pulse:
    """Reports and looks whether to stop, a few times a second."""

    def __init__(self, progress: Report | None, stopped: Callable[[], bool]) -> None:
        self._progress = progress
        self._stopped = stopped
        self._last = 0.0

    def beat(self, done: int, total: int) -> None:
        """Raises InterruptedError when stopped."""
        now = time.monotonic()
        if now - self._last < REPORT_SECONDS:
            return
        self._last = now
        if self._stopped():
            raise InterruptedError
        if self._progress is not None:
            self._progress(done, total)


class _Selection:
    """The picks so far, and every point's squared distance to the nearest of them."""

    def __init__(self, points: Values, count: int, pulse: _Pulse, workers: ThreadPoolExecutor | None) -> None:
        self._points = points
        self._count = count
        self._pulse = pulse
        self._workers = workers
        self.chosen: Indices = np.empty(count, np.int64)
        self.picked = 0
        self._nearest: Doubles = np.full(len(points), np.inf)  # squared; -1 once picked
        self._squares = self._squared_norms()
        self._screens = [DistanceScreen(points, self._squares) for _ in range(workers._max_workers if workers else 1)]

    def start(self, seed: int | None) -> None:
        """Make the first pick."""
        if seed is None:
            first = int(self._squares.argmin())
        else:
            first = int(np.random.default_rng(seed).integers(len(self._points)))
        self._take(np.array([first]))

    def round(self, size: int) -> None:
        """Make one or more picks: those that are certain from the `size` points that are farthest now."""
        pool, limit, limit_index = self._farthest(size)
        if self._nearest[pool].max() == 0:  # only copies of picked points are left: the lowest index comes first
            left = np.flatnonzero(self._nearest == 0)[: self._count - self.picked]
            self.chosen[self.picked : self.picked + len(left)] = left
            self.picked += len(left)
            return
        nearest = self._nearest[pool]
        between = self._screens[0].between(pool, Centres(self._points, self._squares, pool), nearest)
        picks: list[int] = []
        while len(picks) < self._count - self.picked:
            best = int(nearest.argmax())
            if nearest[best] < limit or (nearest[best] == limit and pool[best] > limit_index) or nearest[best] <= 0:
                break
            picks.append(best)
            np.minimum(nearest, between[best], out=nearest)
            nearest[best] = -1
        self._take(pool[picks])

    def _farthest(self, size: int) -> tuple[Indices, float, int]:
        """The `size` farthest points by index, and the distance and index of the first one that is not among them.

        Of equally far points those with the lowest index come first, so the farthest point is always in the pool.
        """
        left = len(self._points) - self.picked
        if left <= size:
            return np.flatnonzero(self._nearest >= 0), -1.0, 0
        limit = float(np.partition(self._nearest, len(self._points) - size)[len(self._points) - size])
        beyond = np.flatnonzero(self._nearest > limit)
        equal = np.flatnonzero(self._nearest == limit)
        room = size - len(beyond)
        pool = np.sort(np.concatenate([beyond, equal[:room]]))
        if room < len(equal):
            return pool, limit, int(equal[room])
        outside = self._nearest[self._nearest < limit].max(initial=-1.0)
        return pool, float(outside), int((self._nearest == outside).argmax())

    def _take(self, picks: Indices) -> None:
        """Pick these, and compare all points with them."""
        self.chosen[self.picked : self.picked + len(picks)] = picks
        self.picked += len(picks)
        if self.picked < self._count:
            centres = Centres(self._points, self._squares, picks)
            if self._workers is None:
                self._compare(self._screens[0], 0, len(self._points), centres)
            else:
                self._compare_in_threads(self._workers, centres)
        self._nearest[picks] = -1

    def _compare_in_threads(self, workers: ThreadPoolExecutor, centres: Centres) -> None:
        edges = np.linspace(0, len(self._points), len(self._screens) + 1).astype(int)
        tasks = [
            workers.submit(self._compare, screen, int(first), int(last), centres)
            for screen, first, last in zip(self._screens, edges[:-1], edges[1:], strict=True)
        ]
        for task in tasks:
            task.result()

    def _compare(self, screen: DistanceScreen, first: int, last: int, centres: Centres) -> None:
        for start in range(first, last, BLOCK):
            self._pulse.beat(self.picked, self._count)
            screen.lower(self._nearest, start, min(start + BLOCK, last), centres)

    def _squared_norms(self) -> Doubles:
        squares = np.empty(len(self._points))
        for start in range(0, len(squares), BLOCK):
            self._pulse.beat(0, self._count)
            block = self._points[start : start + BLOCK].astype(np.float64)
            np.einsum("ij,ij->i", block, block, out=squares[start : start + BLOCK])
        if not squares.max(initial=0.0) <= LARGEST**2:
            raise InputError("Coreset", f"the points hold values that are no numbers, or larger than {LARGEST:g}")
        return squares
