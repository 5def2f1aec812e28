"""A soak with churn: cameras are added, changed, lost, frozen, brought back and removed, while memory is watched.

`python -m benchmarks.soak --minutes 20` is the real one; `python -m benchmarks soak` runs one minute of it. Ends with 1
when resident memory grows by more than 1 MB a minute after the warm-up (in runs of at least five minutes), when a
thread or a file descriptor is left at the end, or when a clip failed although its camera was there. Memory is taken at
rest: once a minute all cameras go, so that how many are live just then says nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks._cameras import Counting, managed, resident_bytes
from core.api_schema import CameraRequest, CameraState, Detection
from core.inference.cameras.anomaly_tracker import NO_FOOTAGE
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.heap_trim import trim_heap
from core.inference.cameras.manager import MultiCameraManager
from tests.support.rtsp import Live, RtspServer, make_clip

CAMERAS = 8
STEP_SECONDS = 1.0
REST_SECONDS = 5.0  # that the readers of removed cameras may take to end
WARM_UP = 0.25  # of the run: pools of memory fill, every path has been taken
SLOPE_MB = 1.0  # a minute
JUDGED_MINUTES = 5.0
LOUD = Detection(threshold=0.05, minimum_seconds=0.4, cooldown=1)
BACKOFF = Backoff(ladder=((0.5, 4), (2, 4)), final_delay=5)


@dataclass
class Soaked:
    """The result: leftover threads and descriptors, MB per minute, and the number of changes."""

    threads: list[str]
    descriptors: int
    slope: float
    steps: int = 0
    events: int = 0
    failed_clips: list[str] = field(default_factory=list)
    went_live: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing was left over and no clip failed."""
        return not self.threads and self.descriptors <= 0 and not self.failed_clips


def main(minutes: float = 1.0) -> int:
    """Run and print; returns 1 if something grew or was left over."""
    result = soak(minutes * 60, say=print)
    print(f"{result.steps} changes, {result.events} events, {result.went_live} times live")
    print(f"left over: threads {result.threads or 'none'}, descriptors {result.descriptors}")
    print(f"failed clips: {result.failed_clips or 'none'}")
    print(f"memory: {result.slope:+.2f} MB a minute after the warm-up (limit {SLOPE_MB})")
    return int(not result.clean or (minutes >= JUDGED_MINUTES and result.slope > SLOPE_MB))


def soak(seconds: float, *, seed: int = 1, say: Callable[[str], object] = lambda _: None) -> Soaked:
    """So many seconds of churn on real streams."""
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", seconds=5)
        with RtspServer({"cam": Live(), "other": Live(width=320, height=240)}) as server:
            _round(Path(folder), clip, server, seconds=3, seed=seed)  # what stays for the process's life comes with it
            before = _left(set(), 0)
            result = _round(Path(folder), clip, server, seconds=seconds, seed=seed, say=say)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and any(_left(*before)):
                time.sleep(0.1)
            names, descriptors = _left(*before)
            result.threads, result.descriptors = sorted(names), descriptors
            return result


def _left(threads: set[str], descriptors: int) -> tuple[set[str], int]:
    """The growth since the start."""
    names = {thread.name for thread in threading.enumerate()}
    return names - threads, len(os.listdir("/proc/self/fd")) - descriptors


def _round(
    folder: Path,
    clip: Path,
    server: RtspServer,
    *,
    seconds: float,
    seed: int,
    say: Callable[[str], object] = lambda _: None,
) -> Soaked:
    at_rest: list[tuple[float, float]] = []
    with managed(folder, backoff=BACKOFF, maximum=CAMERAS) as (manager, observer):
        churn = _Churn(manager, server, clip, random.Random(seed))
        began = told = time.monotonic()
        while (now := time.monotonic()) - began < seconds:
            churn.step()
            if now - told >= 60:
                told = now
                doing = f"{resident_bytes() / 1e6:.1f} MB, {_doing(manager, observer)}"
                churn.rest()
                at_rest.append((now - began, resident_bytes() / 1e6))
                say(f"{(now - began) / 60:.0f} min: {doing}; at rest {at_rest[-1][1]:.1f} MB")
            time.sleep(STEP_SECONDS)
        churn.rest()
    warm = [sample for sample in at_rest if sample[0] >= WARM_UP * seconds]
    failed = [why for why in observer.clips if why not in ("", NO_FOOTAGE)]
    return Soaked([], 0, slope(warm), churn.steps, observer.events, failed, churn.went_live)


def _doing(manager: MultiCameraManager, observer: Counting) -> str:
    statuses = manager.statuses()
    live = sum(status.state is CameraState.LIVE for status in statuses)
    return f"{live} of {len(statuses)} cameras live, {observer.events} events, {threading.active_count()} threads"


class _Churn:
    """Changes a random camera, or the server of all cameras, at each step."""

    def __init__(self, manager: MultiCameraManager, server: RtspServer, clip: Path, chance: random.Random) -> None:
        self._manager = manager
        self._server = server
        self._clip = clip
        self._chance = chance
        self._ill: Callable[[], None] | None = None
        self._live: set[str] = set()
        self.steps = self.went_live = 0

    def step(self) -> None:
        self.steps += 1
        self._count()
        names = [status.id for status in self._manager.statuses()]
        if len(names) < CAMERAS // 2:
            self._add()
            return
        actions = [self._add, self._remove, self._restart, self._change, self._change, self._fault]
        self._chance.choice(actions)()

    def rest(self) -> None:
        """Restore the server, remove every camera, and free their memory."""
        self._heal()
        for name in self._names():
            self._manager.remove(name)
        deadline = time.monotonic() + REST_SECONDS
        while time.monotonic() < deadline and any(
            thread.name.startswith("camera-") for thread in threading.enumerate()
        ):
            time.sleep(0.1)
        trim_heap()

    def _heal(self) -> None:
        """Restart the server if it is not running normally."""
        if self._ill is not None:
            self._ill()
            self._ill = None

    def _count(self) -> None:
        live = {status.id for status in self._manager.statuses() if status.state is CameraState.LIVE}
        self.went_live += len(live - self._live)
        self._live = live

    def _names(self) -> list[str]:
        return [status.id for status in self._manager.statuses()]

    def _add(self) -> None:
        if len(self._names()) >= CAMERAS:
            self._remove()
            return
        kind = self._chance.choice(["cam", "cam", "other", "none", "file"])
        source = str(self._clip) if kind == "file" else self._server.url(kind)
        self._manager.add(CameraRequest(id=f"c{self.steps}", source=source, timeout=1, detection=LOUD, pre_roll=2))

    def _remove(self) -> None:
        self._manager.remove(self._chance.choice(self._names()))

    def _restart(self) -> None:
        self._manager.restart_camera(self._chance.choice(self._names()))

    def _change(self) -> None:
        camera = self._manager.get(self._chance.choice(self._names()))
        threshold = self._chance.choice([0.05, 0.5, 1.0])
        detection = camera.request.detection.model_copy(update={"threshold": threshold})
        self._manager.update(camera.request.model_copy(update={"detection": detection}))

    def _fault(self) -> None:
        if self._ill is not None:
            self._heal()
        elif self._chance.random() < 0.5:
            self._server.freeze()
            self._ill = self._server.thaw
        else:
            self._server.kill()
            self._ill = self._server.start


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Slope of the line through (seconds, MB) in MB per minute; 0 for fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    across = sum((x - mean_x) ** 2 for x, _ in samples)
    return 60 * sum((x - mean_x) * (y - mean_y) for x, y in samples) / across


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    sys.exit(main(parser.parse_args().minutes))
