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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np

from core.errors import InputError
from core.inference.models.distance_screen import BLOCK, Centres, DistanceScreen, Doubles, Indices, Values

POOL = 256  # points that are looked at for picks in one round; measured
AHEAD = 8  # times as many points are compared with what they missed at once
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
    """The picks so far, and for every point a squared distance that the nearest of them does not exceed.

    A point that is not among the farthest need not be compared with every new pick: what it was before is a bound. It
    is compared with the picks of all rounds that it missed once it reaches the head, which many points never do.
    """

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
        self._rounds: list[Centres] = []
        self._compared = np.zeros(len(points), np.int64)  # with the picks of so many rounds

    def start(self, seed: int | None) -> None:
        """Make the first pick, and compare all points with it."""
        if seed is None:
            first = int(self._squares.argmin())
        else:
            first = int(np.random.default_rng(seed).integers(len(self._points)))
        self._take(np.array([first]))
        self._compare(np.arange(len(self._points)))

    def round(self, size: int) -> None:
        """Make one or more picks: those that are certain from the `size` points that are farthest now."""
        pool, limit, limit_index = self._compared_farthest(size)
        if self._nearest[pool].max() == 0:  # only copies of picked points are left: the lowest index comes first
            self._take(np.flatnonzero(self._nearest == 0)[: self._count - self.picked])
            return
        nearest, bounds, screen = self._nearest[pool], self._screens[0].bounds(pool), self._screens[0]
        picks: list[int] = []
        while len(picks) < self._count - self.picked:
            best = int(nearest.argmax())
            if nearest[best] < limit or (nearest[best] == limit and pool[best] > limit_index) or nearest[best] <= 0:
                break
            picks.append(best)
            near = np.flatnonzero(bounds[best] < nearest)
            nearest[near] = np.minimum(nearest[near], screen.exact(pool[near], np.full(len(near), pool[best])))
            nearest[best] = -1
        self._take(pool[picks])

    def _compared_farthest(self, size: int) -> tuple[Indices, float, int]:
        """As `_farthest`; the points of the pool have been compared with all picks."""
        while True:
            found = self._farthest(size)
            if (self._compared[found[0]] == len(self._rounds)).all():
                return found
            head = self._farthest(AHEAD * size)[0]
            self._compare(head[self._compared[head] < len(self._rounds)])

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
        self.chosen[self.picked : self.picked + len(picks)] = picks
        self.picked += len(picks)
        if self.picked < self._count:
            self._rounds.append(Centres(self._points, self._squares, picks))
        self._nearest[picks] = -1

    def _compare(self, rows: Indices) -> None:
        """Compare these points with the picks of the rounds that they missed."""
        rows = rows[np.argsort(self._compared[rows], kind="stable")]  # those that missed the same rounds together
        blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
        if self._workers is None:
            self._compare_blocks(self._screens[0], blocks)
        else:
            shares = [blocks[number :: len(self._screens)] for number in range(len(self._screens))]
            for done in list(self._workers.map(self._compare_blocks, self._screens, shares)):
                assert done is None

    def _compare_blocks(self, screen: DistanceScreen, blocks: Sequence[Indices]) -> None:
        for rows in blocks:
            screen.lower(self._nearest, rows, self._compared[rows], self._rounds, self._beat)
            self._compared[rows] = len(self._rounds)

    def _beat(self) -> None:
        self._pulse.beat(self.picked, self._count)

    def _squared_norms(self) -> Doubles:
        squares = np.empty(len(self._points))
        for start in range(0, len(squares), BLOCK):
            self._beat()
            block = self._points[start : start + BLOCK].astype(np.float64)
            np.einsum("ij,ij->i", block, block, out=squares[start : start + BLOCK])
        if not squares.max(initial=0.0) <= LARGEST**2:
            raise InputError("Coreset", f"the points hold values that are no numbers, or larger than {LARGEST:g}")
        return squares
