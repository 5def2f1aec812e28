"""16 cameras that score as fast as they can: through the pool, through one session, and with a model each.

All run the backbone of the memory detector. The two others are what one writes first: sessions with ONNX Runtime's own
defaults, whose `run` the cameras' threads call themselves. Every turn is a process of its own, because the threads of a
session that is done go on spinning for a while; the ways take turns, and the pool is compared with the better other one
of the same turn, because a machine that others use as well is not the same a minute later. The median turn counts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from core.inference.model_pool.devices import find_device_budget
from core.inference.model_pool.pool import ModelPool, ModelSpec
from core.inference.models.detector import Picture, Sample
from core.inference.models.execution_providers import ExecutionProvider, runtime, select_provider
from core.inference.models.features import FEATURE_BATCH, NETWORK, PatchFeatures
from core.inference.settings import MIB

CAMERAS = 16
SECONDS = 3.0
TURNS = 5
FASTER, SOONER = 1.5, 0.5  # of the better other one: times its throughput, and of its 99th percentile
WAYS = ("pool", "one session", "a model each")

Ask = Callable[[int, Picture], object]


@dataclass(frozen=True)
class Figures:
    """Pictures per second, 99th percentile of the wait in milliseconds, and milliseconds of CPU per picture."""

    rate: float
    p99: float
    cpu: float


class Costs:
    """A store of measured costs that stores nothing."""

    def get(self, *_: str) -> int | None:
        return None

    def put(self, *_: object) -> None: ...


class Backbone:
    """The memory detector's features alone: what is compared is how they are asked for."""

    width, height, pixel_format = PatchFeatures.width, PatchFeatures.height, "rgb24"

    def __init__(self, choice: ExecutionProvider) -> None:
        self._features = PatchFeatures(choice)

    def load(self) -> None:
        self._features.load()

    def score(self, batch: Sequence[Sample]) -> list[float]:
        """Scores each picture as a number, so that no work can be skipped."""
        return [float(distances[0, 0]) for distances in self._features.extract([sample.picture for sample in batch])]

    def forget(self, camera: str) -> None: ...

    def close(self) -> None:
        self._features.close()


def main() -> int:
    """Print the figures of each way; 1 when the pool is not so much better."""
    turns: dict[str, list[Figures]] = {way: [] for way in WAYS}
    for _ in range(TURNS):
        for way in WAYS:
            done = subprocess.run([sys.executable, "-m", __name__, way], capture_output=True, text=True, check=True)
            turns[way].append(Figures(**json.loads(done.stdout)))
    for way, figures in turns.items():
        one = _median(figures)
        print(f"{way:13} {one.rate:6.1f} pictures/s, p99 {one.p99:6.0f} ms, {one.cpu:5.1f} ms of CPU a picture")
    pairs = [(pool, max(others, key=lambda one: one.rate)) for pool, *others in zip(*turns.values(), strict=True)]
    faster = statistics.median(pool.rate / better.rate for pool, better in pairs)
    sooner = statistics.median(pool.p99 / better.p99 for pool, better in pairs)
    print(f"the pool: {faster:.2f}x the throughput of the better other one (budget {FASTER}x),", end=" ")
    print(f"{sooner:.2f} of its p99 (budget {SOONER})")
    return int(faster < FASTER or sooner > SOONER)


def turn(mode: str) -> Figures:
    """16 threads that ask in that way, after a second to warm up."""
    ask = _pool() if mode == "pool" else _sessions(1 if mode == "one session" else CAMERAS)
    _drive(ask, 1.0)
    return _drive(ask, SECONDS)


def _pool() -> Ask:
    choice = select_provider()
    pool = ModelPool(find_device_budget(gpu=choice.on_gpu, vram_reserve=0, memory_budget=0), costs=Costs())
    spec = ModelSpec(lambda: Backbone(choice), 200 * MIB, max_batch=FEATURE_BATCH)
    leases = [pool.lease("backbone", spec) for _ in range(CAMERAS)]
    return lambda camera, picture: leases[camera].submit(Sample(str(camera), picture, time.monotonic())).result()


def _sessions(count: int) -> Ask:
    providers = list(select_provider().providers)
    sessions = [runtime().InferenceSession(str(NETWORK), providers=providers) for _ in range(count)]
    return lambda camera, picture: sessions[camera % count].run(None, {"picture": picture[None]})


def _drive(ask: Ask, seconds: float) -> Figures:
    pictures = np.random.default_rng(1).integers(0, 255, (CAMERAS, Backbone.height, Backbone.width, 3), np.uint8)
    waited: list[float] = []
    start = threading.Barrier(CAMERAS + 1)

    def camera(number: int) -> None:
        start.wait()
        end = time.monotonic() + seconds
        while (asked := time.monotonic()) < end:
            ask(number, pictures[number])
            waited.append(time.monotonic() - asked)

    threads = [threading.Thread(target=camera, args=(number,)) for number in range(CAMERAS)]
    for thread in threads:
        thread.start()
    start.wait()
    began, cpu = time.monotonic(), time.process_time()
    for thread in threads:
        thread.join()
    lasted, cpu = time.monotonic() - began, time.process_time() - cpu
    p99 = statistics.quantiles(waited, n=100, method="inclusive")[98]
    return Figures(len(waited) / lasted, p99 * 1e3, cpu / len(waited) * 1e3)


def _median(figures: Sequence[Figures]) -> Figures:
    rows = [asdict(one) for one in figures]
    return Figures(**{name: statistics.median(row[name] for row in rows) for name in rows[0]})


if __name__ == "__main__":
    print(json.dumps(asdict(turn(sys.argv[1]))))
