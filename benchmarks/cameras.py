"""The CPU and memory of cameras compared with bare PyAV on the same frames, and how many fit on a machine.

Every camera is a clip played at its own speed through the whole of it: source, packet ring, view alerts, and the motion
score five times a second. Bare PyAV is a thread a camera that decodes the same frames at the same speed and converts
every fifth. Each measurement has a process of its own; figures of a busy machine are pessimistic.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import av

from benchmarks._cameras import make_clip, managed, resident_bytes
from core.api_schema import CameraRequest, CameraStatus, Detection
from core.inference.cameras.conversion import convert
from core.inference.cameras.manager import MultiCameraManager
from core.inference.models.motion_detector import MotionDetector

Result = TypeVar("Result")

RATE, DECISIONS = 25, 5
CLIP_SECONDS = 12
SETTLE, WINDOW = 2.0, 3.0  # seconds
EQUAL = 8  # cameras, both with xaiva and with bare PyAV
COUNTS = (4, 8, 16, 24, 32, 48, 64)
BUDGET = 1.25  # times the CPU of bare PyAV decode and convert
NOISE = 1.25  # tolerated difference between two windows of the same work on a shared machine
ROUNDS = 3
COMPLETE = 0.97  # fraction of the due frames from which on none counts as lost


@dataclass(frozen=True)
class Load:
    """One window with this many cameras: cores, bytes and lost frames."""

    cameras: int
    cpu: float
    resident: int
    dropped: int
    complete: float
    latency: float


def main() -> int:
    """Print a table per setting. Returns 1 if a camera exceeds its budget, or the 16th costs more than the 2nd."""
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        for size in ("640x360", "1280x720"):
            for codec in ("h264", "hevc"):
                clip = make_clip(Path(folder) / f"{size}-{codec}.mp4", size, codec, CLIP_SECONDS, RATE)
                missed |= _setting(f"{size} {codec}", clip)
        missed |= _marginal(Path(folder) / "640x360-h264.mp4")
    return int(missed)


def _setting(name: str, clip: Path) -> bool:
    pairs = [(_apart(bare, clip), _apart(ours, clip)) for _ in range(ROUNDS)]
    cost, own = (min(column) for column in zip(*pairs, strict=True))
    base, loads = _apart(ramp, clip)
    sustained = [load for load in loads if not load.dropped and load.complete >= COMPLETE]
    sixteen = next((load for load in loads if load.cameras == 16), loads[-1])
    ratio = own / cost
    print(f"{name}: {EQUAL} cameras: bare PyAV {cost:.3f} cores, ours {own:.3f}: {ratio:.2f}x (budget {BUDGET}x)")
    for load in loads:
        lost = "" if load in sustained else f"  <- {load.dropped} dropped, {load.complete:.0%} of the frames"
        print(f"  {load.cameras:3d} cameras: {load.cpu:5.2f} cores, p99 {load.latency * 1e3:4.0f} ms{lost}")
    each = (sixteen.resident - base) / sixteen.cameras / 2**20
    print(f"  at {sixteen.cameras}: {sixteen.cpu / sixteen.cameras:.3f} cores and {each:.1f} MiB a camera")
    print(
        f"  without a drop: {max((load.cameras for load in sustained), default=0)} cameras (tried up to {COUNTS[-1]})"
    )
    sys.stdout.flush()
    return ratio > BUDGET


def _marginal(clip: Path) -> bool:
    second, sixteenth = _apart(marginal, clip)
    print(f"added by the 2nd camera {second:.4f} cores, by the 9th to 16th {sixteenth:.4f} each", flush=True)
    return sixteenth > second * NOISE


def bare(clip: Path) -> float:
    """Cores used by `EQUAL` threads that only decode at the clip's speed and convert the scored frames."""
    stop = threading.Event()
    threads = [threading.Thread(target=_decode, args=(clip, stop)) for _ in range(EQUAL)]
    for thread in threads:
        thread.start()
    time.sleep(SETTLE)
    began, cpu = time.monotonic(), time.process_time()
    time.sleep(WINDOW)
    cpu_share = (time.process_time() - cpu) / (time.monotonic() - began)
    stop.set()
    for thread in threads:
        thread.join()
    return cpu_share


def _decode(clip: Path, stop: threading.Event) -> None:
    while not stop.is_set():
        began = time.monotonic()
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            for index, image in enumerate(container.decode(stream)):
                if stop.wait(max(0.0, began + index / RATE - time.monotonic())):
                    return
                if index % (RATE // DECISIONS) == 0:
                    convert(image, MotionDetector.width, MotionDetector.height, MotionDetector.pixel_format)


def ours(clip: Path) -> float:
    """Cores used by as many cameras."""
    with tempfile.TemporaryDirectory() as folder, managed(Path(folder)) as (manager, _):
        _add_up_to(manager, clip, EQUAL)
        return _window(manager).cpu


def ramp(clip: Path) -> tuple[int, list[Load]]:
    """More and more cameras until the first loses a frame; (bytes before the first, what each number took)."""
    loads: list[Load] = []
    with tempfile.TemporaryDirectory() as folder, managed(Path(folder)) as (manager, _):
        base = resident_bytes()
        for count in COUNTS:
            _add_up_to(manager, clip, count)
            loads.append(_window(manager))
            if loads[-1].dropped or loads[-1].complete < COMPLETE:
                break
    return base, loads


def marginal(clip: Path) -> tuple[float, float]:
    """Cores that the second camera adds, and those that each from the ninth to the sixteenth does; the best rounds."""
    cpu_shares: dict[int, float] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder, managed(Path(folder)) as (manager, _):
            for count in (1, 2, 8, 16):
                _add_up_to(manager, clip, count)
                cpu_shares[count] = min(cpu_shares.get(count, 1e9), _window(manager).cpu)
    return cpu_shares[2] - cpu_shares[1], (cpu_shares[16] - cpu_shares[8]) / 8


def _add_up_to(manager: MultiCameraManager, clip: Path, count: int) -> None:
    quiet = Detection(threshold=1)
    for index in range(len(manager.statuses()), count):
        manager.add(CameraRequest(id=f"c{index}", source=str(clip), fps=DECISIONS, detection=quiet))
    time.sleep(SETTLE)


def _window(manager: MultiCameraManager) -> Load:
    before, began, cpu = manager.statuses(), time.monotonic(), time.process_time()
    time.sleep(WINDOW)
    after, wall, cpu = manager.statuses(), time.monotonic() - began, time.process_time() - cpu
    frames = _sum(after, "frames") - _sum(before, "frames")
    return Load(
        cameras=len(after),
        cpu=cpu / wall,
        resident=resident_bytes(),
        dropped=_sum(after, "dropped") - _sum(before, "dropped"),
        complete=frames / (len(after) * RATE * wall),
        latency=max(status.latency_p99 or 0.0 for status in after),
    )


def _sum(statuses: list[CameraStatus], field: str) -> int:
    return sum(getattr(status, field) for status in statuses)


def _apart(work: Callable[[Path], Result], clip: Path) -> Result:
    """The result of `work(clip)` in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        return processes.submit(work, clip).result()


if __name__ == "__main__":
    sys.exit(main())
