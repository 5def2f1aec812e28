"""A decoded frame, and what holds, samples and measures frames."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from av.video.frame import VideoFrame

FORGET_PER_SECOND = 0.0005  # how fast the clock follows a camera whose own clock is slow; crystals differ by far less
LONGEST_LAG = 30.0  # seconds; more means that the camera's clock jumped


@dataclass(frozen=True)
class Frame:
    """A decoded frame, not yet converted. `captured` is on the monotonic clock, in seconds.

    `connection` counts the connections of its camera: a new one may show another view.
    """

    image: VideoFrame
    captured: float
    connection: int


class CaptureClock:
    """Tells when a frame was captured, from its own time stamp and when it arrived.

    The frame that travelled fastest sets the offset between the two clocks, so that a backlog (a slow network, a
    decoder that falls behind) shows as latency instead of hiding in a buffer. A constant delay cannot be seen.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._arrived = 0.0
        self._stamp = 0.0

    def captured(self, stamp: float | None, arrived: float) -> float:
        """The capture time of a frame with that time stamp (seconds, None: it has none) and arrival."""
        if stamp is None:
            return arrived
        offset = arrived - stamp
        known = self._offset
        if known is not None and stamp > self._stamp and abs(offset - known) < LONGEST_LAG:
            followed = known + (arrived - self._arrived) * FORGET_PER_SECOND
            offset = min(offset, followed)
        self._offset = offset
        self._arrived, self._stamp = arrived, stamp
        return stamp + offset


class LatestFrame:
    """One slot between two threads: a newer frame takes the place of one that nobody took, which counts as dropped."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._frame: Frame | None = None
        self._closed = False
        self.dropped = 0

    def put(self, frame: Frame) -> None:
        """Offer the newest frame; never waits."""
        with self._ready:
            if self._frame is not None:
                self.dropped += 1
            self._frame = frame
            self._ready.notify()

    @property
    def closed(self) -> bool:
        """Whether nothing is taken any more."""
        return self._closed

    def take(self, seconds: float) -> Frame | None:
        """Wait for a frame; None once closed, or when none came within `seconds`."""
        with self._ready:
            self._ready.wait_for(lambda: self._frame is not None or self._closed, seconds)
            frame, self._frame = self._frame, None
            return None if self._closed else frame

    def close(self) -> None:
        """Wake the taker for good."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()


class Rate:
    """Events a second over the last few seconds."""

    WINDOW = 5.0  # seconds: steady to look at, and quick to show a change

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def tick(self) -> None:
        """One more."""
        now = time.monotonic()
        with self._lock:
            self._times.append(now)
            self._forget(now)

    def value(self) -> float:
        """The rate now; it falls to zero when nothing comes any more."""
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            if len(self._times) < 2:
                return 0.0
            return (len(self._times) - 1) / max(now - self._times[0], 1.0)

    def _forget(self, now: float) -> None:
        while self._times and now - self._times[0] > self.WINDOW:
            self._times.popleft()


class Sampler:
    """Chooses which frames are due when only so many a second are wanted."""

    TOLERANCE = 0.25  # of a period: frames of a camera at exactly the wanted rate jitter around the grid

    def __init__(self, per_second: float) -> None:
        self._period = 1 / per_second
        self._due = 0.0

    def due(self, now: float) -> bool:
        """Whether the frame that came at `now` (seconds) is wanted."""
        if now < self._due - self.TOLERANCE * self._period:
            return False
        fell_behind = now > self._due + self._period
        self._due = (now if fell_behind else self._due) + self._period
        return True


class Load:
    """What a thread's work costs: its CPU seconds a second, and a frame, over the last few seconds."""

    WINDOW = 5.0

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float, int]] = deque()  # monotonic, CPU of the thread, frames so far

    def mark(self, now: float, frames: int) -> None:
        """Take note, in the thread that is measured; cheap enough for every frame."""
        if not self._marks or now - self._marks[-1][0] >= 0.5:
            self._marks.append((now, time.thread_time(), frames))
            while now - self._marks[0][0] > self.WINDOW:
                self._marks.popleft()

    def values(self) -> tuple[float, float] | None:
        """(CPU seconds a second, CPU seconds a frame); None before a second has been seen."""
        marks = list(self._marks)
        if len(marks) < 2 or marks[-1][0] - marks[0][0] < 1:
            return None
        wall, cpu, frames = (after - before for before, after in zip(marks[0], marks[-1], strict=True))
        return cpu / wall, cpu / max(1, frames)
