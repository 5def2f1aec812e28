"""Coresets: time, memory and covering radius beside the plain greedy loop, in the same run.

    python -m benchmarks.coreset

The plain loop is what the sampler of anomalib 2.7 does for each pick: `norm(points - newest)`, `minimum`, `argmax`,
with NumPy in place of PyTorch. At 100 000 points only its first picks are timed, and the rest follows from them: each
pick costs the same. Each way runs in a process of its own, so that its peak memory is its own. The bar is on the time
of the processor with one thread, because that is the same while others use the machine.

The loop takes at each pick the point at the covering radius. "radius" is the worst of our picks: its distance as a
share of the covering radius before it. So each number of picks is compared, also where the loop is not run to its end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.inference.models.coreset import select_coreset

Points = NDArray[np.float32]

MODULE = "benchmarks.coreset"

CASES = ((20_000, 384, 2_000), (100_000, 284, 10_000), (100_000, 384, 10_000))  # points, channels, picks
TIMED_PICKS = 60  # of the plain loop at 100 000 points
FASTER = {20_000: 20.0, 100_000: 50.0}  # at least, times
MOST_MEMORY = 64e6  # bytes beyond twice the points
LONGEST_SILENCE = 0.25  # seconds between two reports
LONGEST_STOP = 1.0  # seconds from the request to the end
RADIUS_TOLERANCE = 0.001


@dataclass(frozen=True)
class Outcome:
    """`radius`: of all picks, the least distance as a share of the covering radius before the pick, 1 for the loop.

    `silence` is the longest time without a report.
    """

    seconds: float
    cpu: float
    radius: float = 1.0
    peak: int = 0
    silence: float = 0.0
    stop: float = 0.0


def main() -> int:
    """Print a row for each case; 1 when one misses its bar."""
    missed = False
    print(
        "points  channels  picks  threads  plain (CPU)       ours (CPU)   times (CPU)"
        "  radius  peak MB (bar)  silence  stop"
    )
    for size, channels, picks in CASES:
        plain = _run("plain", size, channels, picks, 1)
        for threads in (1, 2):
            ours = _run("ours", size, channels, picks, threads)
            ratio = plain.cpu / ours.cpu
            bar = 2 * size * channels * 4 + MOST_MEMORY
            print(
                f"{size:6}  {channels:8}  {picks:5}  {threads:7}  {plain.seconds:5.0f} s ({plain.cpu:3.0f})"
                f"  {ours.seconds:6.2f} s ({ours.cpu:6.2f})  {plain.seconds / ours.seconds:5.0f} ({ratio:3.0f})"
                f"  {ours.radius:6.4f}  {ours.peak / 1e6:7.0f} ({bar / 1e6:3.0f})"
                f"  {ours.silence * 1e3:4.0f} ms {ours.stop * 1e3:4.0f} ms"
            )
            missed |= (threads == 1 and ratio < FASTER[size]) or ours.peak > bar
            missed |= ours.radius < 1 - RADIUS_TOLERANCE
            missed |= ours.silence > LONGEST_SILENCE or ours.stop > LONGEST_STOP
    return int(missed)


def plain_greedy(points: Points, count: int, first: int) -> NDArray[np.int64]:
    """The loop: each pick is a pass over all points."""
    chosen = [first]
    nearest = np.full(len(points), np.inf, np.float32)
    while len(chosen) < count:
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def patch_like(size: int, channels: int) -> Points:
    """Points as patches lie: in clusters of many sizes, with channels that depend on each other, and with outliers."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((channels // 4, channels), dtype=np.float32)
    centres = 2 * rng.standard_normal((60, channels // 4), dtype=np.float32)
    inner = rng.standard_normal((size, channels // 4), dtype=np.float32)
    inner *= rng.exponential(0.5, (size, 1)).astype(np.float32)
    inner += centres[rng.integers(0, len(centres), size)]
    points: Points = inner @ mixing
    points += 0.2 * rng.standard_normal((size, channels), dtype=np.float32)
    points /= points.std()
    return points


def _run(way: str, size: int, channels: int, picks: int, threads: int) -> Outcome:
    command = [sys.executable, "-m", MODULE, way, *map(str, (size, channels, picks, threads))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Outcome(**json.loads(done.stdout))


def _measure(way: str, size: int, channels: int, picks: int, threads: int) -> Outcome:
    points = _loaded(size, channels)
    first = int(select_coreset(points, 1)[0])
    begin, begin_cpu = time.perf_counter(), time.process_time()
    if way == "plain":
        timed = picks if size <= 20_000 else TIMED_PICKS
        plain_greedy(points, timed, first)
        seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
        return Outcome(seconds * picks / timed, cpu * picks / timed)
    reports = [begin]
    chosen = select_coreset(points, picks, threads=threads, progress=lambda *_: reports.append(time.perf_counter()))
    reports.append(time.perf_counter())
    seconds, cpu = reports[-1] - begin, time.process_time() - begin_cpu
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
    stop = _stop_seconds(lambda stopped: select_coreset(points, picks, threads=threads, stopped=stopped), seconds)
    return Outcome(seconds, cpu, _worst_pick(points, chosen), peak, float(np.diff(reports).max()), stop)


def _loaded(size: int, channels: int) -> Points:
    """The points, made in another process so that making them does not count as memory of the selection."""
    points = np.empty((size, channels), np.float32)
    command = [sys.executable, "-m", MODULE, "make", str(size), str(channels)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as maker:
        assert maker.stdout is not None
        view = memoryview(points).cast("B")
        read = 0
        while read < len(view):
            read += maker.stdout.readinto(view[read:])  # type: ignore[attr-defined]
    return points


def _stop_seconds(select: Callable[[Callable[[], bool]], object], seconds: float) -> float:
    """How long the selection goes on after it was stopped in its middle."""
    stopped = threading.Event()
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.perf_counter())
        stopped.set()

    timer = threading.Timer(seconds / 2, ask)
    timer.start()
    try:
        select(stopped.is_set)
    except InterruptedError:
        return time.perf_counter() - asked[0]
    return 0.0


def _worst_pick(points: Points, chosen: NDArray[np.int64]) -> float:
    """The least distance of a pick from those before it, as a share of the largest distance of any point from them."""
    centres = points[chosen]
    norms = (centres**2).sum(axis=1)
    squares, radii = np.zeros(len(chosen), np.float32), np.zeros(len(chosen), np.float32)
    for start in range(0, len(points), 1000):
        block = points[start : start + 1000]
        nearest = (block**2).sum(axis=1)[:, None] + norms - 2 * block @ centres.T
        np.minimum.accumulate(nearest, axis=1, out=nearest)
        radii = np.maximum(radii, nearest.max(axis=0))
        here = np.flatnonzero((chosen >= start) & (chosen < start + len(block)))
        squares[here] = nearest[chosen[here] - start, here - 1]
    return float((squares[1:] / radii[:-1]).min() ** 0.5)


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        sys.stdout.buffer.write(patch_like(*map(int, sys.argv[2:])))
    elif len(sys.argv) > 1:
        print(json.dumps(asdict(_measure(sys.argv[1], *map(int, sys.argv[2:])))))
    else:
        sys.exit(main())
