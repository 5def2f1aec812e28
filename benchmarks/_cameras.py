"""Helpers of the camera benchmarks: real clips, a manager with a real pool, and an observer of events."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

from core.api_schema import CameraAlert, CameraRequest
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.manager import MultiCameraManager
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import ModelPool, ModelSpec
from core.inference.models.motion_detector import MotionDetector

ENCODERS = {"h264": ["-c:v", "libx264", "-preset", "veryfast"], "hevc": ["-c:v", "libx265", "-preset", "ultrafast"]}
BITS = {"640x360": "800k", "1280x720": "2M"}


def make_clip(path: Path, size: str, codec: str, seconds: int, rate: int = 25) -> Path:
    """A clip as a camera sends it: moving, with a sensor's noise, a key frame every two seconds, no B-frames."""
    picture = f"testsrc2=size={size}:rate={rate}:duration={seconds},noise=alls=6:allf=t"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture, *ENCODERS[codec]]
    command += ["-b:v", BITS[size], "-g", str(2 * rate), "-bf", "0", "-pix_fmt", "yuv420p"]
    if codec == "hevc":
        command += ["-x265-params", "log-level=error"]
    subprocess.run([*command, str(path)], check=True)
    return path


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class NoCosts:
    def get(self, *_: str) -> int | None:
        return None

    def put(self, *_: object) -> None:
        pass


class Counting:
    """Counts events and deletes their clips once they are closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.events = self.ends = self.alerts = 0
        self.clips: list[str] = []  # why each failed; empty if it did not

    def decided(self, *_: object) -> None:
        self.events += 1

    def ended(self, *_: object) -> None:
        self.ends += 1

    def clip_path(self, event: str) -> Path:
        return self._folder / f"{event}.mp4"

    def clip_done(self, event: str, _seconds: float, _size: int, why: str) -> None:
        self.clips.append(why)
        self.clip_path(event).unlink(missing_ok=True)

    def alert(self, _camera: CameraRequest, _alert: CameraAlert, active: bool) -> None:
        self.alerts += active


@contextmanager
def managed(
    folder: Path, *, backoff: Backoff | None = None, maximum: int = 256
) -> Iterator[tuple[MultiCameraManager, Counting]]:
    """A running manager whose cameras share one motion detector; no limit on cores."""
    pool = ModelPool(DeviceBudget(HostMemory(0), 0), costs=NoCosts())
    observer, spec = Counting(folder), ModelSpec(MotionDetector, 0)
    manager = MultiCameraManager(
        observer,
        lambda _: pool.lease("motion", spec),
        time_zone=ZoneInfo("UTC"),
        maximum=maximum,
        backoff=backoff,
        cores=1e6,
    )
    manager.start()
    try:
        yield manager, observer
    finally:
        manager.stop()
        pool.close()
