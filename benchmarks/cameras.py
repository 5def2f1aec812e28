"""What a camera costs above its decoder: source, sampling and motion against bare PyAV decode and convert.

Both take the same frames of the same file, unpaced, in one process, in turns; the better of several rounds counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av

from core.inference.cameras.address import parse
from core.inference.cameras.decoder import Connection
from core.inference.cameras.failures import StreamEnded
from core.inference.cameras.frames import CaptureClock, Frame, LatestFrame, Rate
from core.inference.cameras.picture import convert
from core.inference.models.detector import Sample
from core.inference.models.motion import MotionDetector
from tests.support.rtsp import make_clip

SECONDS, RATE, EVERY = 20, 25, 5  # a camera of 25 frames a second, scored at 5
ROUNDS = 5
BUDGET = 1.25  # times the CPU of bare PyAV


def main() -> int:
    """Print CPU per frame of both and their ratio; 1 when it is over the budget."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for size in ("640x360", "1280x720"):
            clip = make_clip(Path(folder) / f"{size}.mp4", seconds=SECONDS, size=size, fps=RATE)
            rounds = [(_cpu(bare, clip), _cpu(ours, clip)) for _ in range(ROUNDS)]
            base, own = (min(column) / (SECONDS * RATE) * 1e3 for column in zip(*rounds, strict=True))
            worst = max(worst, own / base)
            print(f"{size}: bare {base:.2f} ms, ours {own:.2f} ms of CPU a frame: {own / base:.2f}x (budget {BUDGET}x)")
    return int(worst > BUDGET)


def bare(clip: Path) -> None:
    """Decode every frame, convert every fifth to what the detector takes."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for index, image in enumerate(container.decode(stream)):
            if index % EVERY == 0:
                convert(image, MotionDetector.width, MotionDetector.height, MotionDetector.pixel_format)


def ours(clip: Path) -> None:
    """The same frames through the parts of a camera, scores included."""
    detector, slot, rate, clock = MotionDetector(), LatestFrame(), Rate(), CaptureClock()
    connection = Connection(parse(str(clip)), 5)
    try:
        for index, image in enumerate(connection.frames()):
            frame = Frame(image, clock.captured(image.time, time.monotonic()), 1)
            rate.tick()
            if index % EVERY == 0:
                slot.put(frame)
                taken = slot.take()
                assert taken is not None
                picture = convert(taken.image, detector.width, detector.height, detector.pixel_format)
                detector.score([Sample("camera", picture, image.time or 0.0)])
    except StreamEnded:
        connection.close()


def _cpu(work: Callable[[Path], None], clip: Path) -> float:
    before = time.process_time()
    work(clip)
    return time.process_time() - before


if __name__ == "__main__":
    raise SystemExit(main())
