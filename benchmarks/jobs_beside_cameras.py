"""The decisions of 8 cameras while jobs rebuild both indexes and all memory banks, compared with those without jobs.

The cameras are RTSP streams from this machine, scored five times a second; the age of a decision is the time from the
arrival of its frame's packet to its score. The jobs run as in the service: in processes of their own, with their memory
reserved in the cameras' pool. Every two seconds their processes are stopped or continued, so that both sides are
measured on the same machine in the same minute, whatever else runs on it.
"""

from __future__ import annotations

import io
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
from PIL import Image, ImageDraw

from benchmarks._cameras import Counting, NoCosts
from core.api_schema import CameraRequest, CameraState, Detection
from core.errors import XaivaError
from core.inference.cameras.manager import MultiCameraManager
from core.inference.jobs.place import job_place
from core.inference.jobs.reservation_keeper import JobReservations
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import Lease, ModelPool, ModelSpec
from core.inference.models.detector import Sample
from core.inference.models.motion_detector import MotionDetector
from core.inference.models.scorer import Scorer
from core.inference.settings import ServiceSettings
from core.operations.ledger import Ledger
from core.operations.processes import descendants, send_signal
from tests.support import until
from tests.support.rtsp import Clip, RtspServer, make_clip

CAMERAS, RATE, DECISIONS = 8, 25, 5
CLIP_SECONDS = 600  # longer than the rebuild: a camera whose stream ends loses decisions
PRODUCTS, NORMALS, DEFECTS = 2, 40, 10
WIDTH, HEIGHT = 1920, 1440
TURN_SECONDS, SETTLE_SECONDS = 2.0, 0.3  # of one side, and at its start, which does not count
JOBS = (("index", "normal"), ("index", "defect"), ("banks", ""))
OLDER = 2.0  # times the age of the 99th percentile without jobs


@dataclass
class Side:
    """The ages of decisions in seconds, and how many frames never got one."""

    ages: list[float] = field(default_factory=list)
    lost: int = 0

    def percentile(self, share: int) -> float:
        return sorted(self.ages)[min(len(self.ages) - 1, len(self.ages) * share // 100)]


@dataclass
class Sides:
    """Decisions without jobs, beside them, and shortly after a change; `current` is one of the three."""

    alone: Side = field(default_factory=Side)
    beside: Side = field(default_factory=Side)
    between: Side = field(default_factory=Side)
    current: Side = field(default_factory=Side)


class TimedScorer:
    """A lease whose decisions are timed."""

    def __init__(self, lease: Lease[MotionDetector], sides: Sides) -> None:
        self._lease, self._sides = lease, sides

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lease, name)

    def submit(self, sample: Sample) -> Future[float]:
        future = self._lease.submit(sample)
        future.add_done_callback(lambda _: self._sides.current.ages.append(time.monotonic() - sample.at))
        return future


def main() -> int:
    """Print the ages on both sides. Returns 1 if jobs make more decisions lost, or the ages grow too much."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as ends:
        folder = Path(name)
        settings = ServiceSettings(data=folder / "data", onnx_provider="cpu")
        _make_pictures(settings.data / "images")
        clip = make_clip(folder / "clip.mp4", seconds=CLIP_SECONDS, fps=RATE)
        server = ends.enter_context(RtspServer({"camera": Clip(clip)}))
        sides = Sides()
        manager = ends.enter_context(_cameras(server.url("camera"), settings, folder, sides))
        ledger = ends.enter_context(_jobs(settings))
        began = time.monotonic()
        _take_turns(ledger, manager, sides)
        print(f"{CAMERAS} cameras, {DECISIONS} decisions a second each, {time.monotonic() - began:.0f} s")
        return _judge(sides)


def _judge(sides: Sides) -> int:
    for name, side in (("without jobs", sides.alone), ("beside jobs", sides.beside)):
        figures = ", ".join(f"p{share} {1e3 * side.percentile(share):.0f} ms" for share in (50, 95, 99))
        print(f"{name}: {len(side.ages)} decisions, {side.lost} lost, age {figures}")
    ratio = sides.beside.percentile(99) / sides.alone.percentile(99)
    print(f"p99 beside jobs: {ratio:.2f}x (budget {OLDER:g}x)", flush=True)
    return int(ratio > OLDER or sides.beside.lost > sides.alone.lost)


def _take_turns(ledger: Ledger, manager: MultiCameraManager, sides: Sides) -> None:
    """Stop and continue the jobs in turns until they have ended. Raises XaivaError when one fails."""
    beside = False
    while live := ledger.list(live_only=True):
        beside = not beside
        workers = set().union(*(descendants(operation.pid) for operation in live if operation.pid))
        send_signal(workers, signal.SIGCONT if beside else signal.SIGSTOP)
        for side, pause in ((sides.between, SETTLE_SECONDS), (sides.beside if beside else sides.alone, TURN_SECONDS)):
            dropped = _dropped(manager)
            sides.current = side
            time.sleep(pause)
            side.lost += _dropped(manager) - dropped
    for operation in ledger.list():
        if operation.failure:
            raise XaivaError(operation.title(), operation.failure.summary)


def _dropped(manager: MultiCameraManager) -> int:
    """The frames so far that were due for a decision and never got one."""
    return sum(status.dropped for status in manager.statuses())


@contextmanager
def _jobs(settings: ServiceSettings) -> Iterator[Ledger]:
    """The jobs of a whole rebuild, which are ended with the block."""
    ledger = Ledger(job_place(settings))
    for kind, subject in JOBS:
        ledger.start(kind, subject, {}, key=f"{kind}:{subject}")
    try:
        yield ledger
    finally:
        for operation in ledger.list(live_only=True):
            ledger.cancel(operation.id)


@contextmanager
def _cameras(url: str, settings: ServiceSettings, folder: Path, sides: Sides) -> Iterator[MultiCameraManager]:
    """Running cameras whose pool grants the jobs' reservations; no limit on cores."""
    pool = ModelPool(DeviceBudget(HostMemory(0), 0), costs=NoCosts())
    reservations = JobReservations(settings, pool)
    spec = ModelSpec(MotionDetector, 0)

    def lease(_: CameraRequest) -> Scorer:
        return cast("Scorer", TimedScorer(pool.lease("motion", spec), sides))

    manager = MultiCameraManager(Counting(folder), lease, time_zone=ZoneInfo("UTC"), maximum=CAMERAS, cores=1e6)
    manager.start()
    reservations.start()
    try:
        quiet = Detection(threshold=1)
        for number in range(CAMERAS):
            manager.add(CameraRequest(id=f"c{number}", source=url, fps=DECISIONS, detection=quiet))
        until(lambda: all(status.state is CameraState.LIVE for status in manager.statuses()))
        time.sleep(2 * TURN_SECONDS)
        yield manager
    finally:
        reservations.stop()
        manager.stop()
        pool.close()


def _make_pictures(folder: Path) -> None:
    """Pictures of parts, some with a scratch, in the layout of the storage."""
    dice = np.random.default_rng(1)
    ground = dice.normal(0, 12, (HEIGHT, WIDTH, 1))
    for product in range(PRODUCTS):
        colour = dice.integers(60, 200, 3)
        for number in range(NORMALS + DEFECTS):
            pixels = (np.roll(ground, dice.integers(HEIGHT), 0) + colour).clip(0, 255).astype(np.uint8)
            picture, place = Image.fromarray(pixels), f"normal/part-{product}"
            if number >= NORMALS:
                place = f"defect/part-{product}/scratch"
                y = int(dice.integers(100, HEIGHT - 100))
                ImageDraw.Draw(picture).line([100, y, WIDTH - 100, y + 60], fill=(250, 250, 250), width=30)
            target = folder / place / f"{number}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            content = io.BytesIO()
            picture.save(content, "JPEG", quality=85)
            target.write_bytes(content.getvalue())


if __name__ == "__main__":
    sys.exit(main())
