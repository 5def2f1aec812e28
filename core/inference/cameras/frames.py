"""A decoded frame, and the classes that hold, sample and measure frames."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from av.video.frame import VideoFrame

LONGEST_LAG = 2.0  # seconds by which the camera's clock may differ from ours between two frames; more is a jump


@dataclass(frozen=True)
class Frame:
    """A decoded frame, not yet converted.

    Everything is measured by arrival, because a camera's own clock may drift, jump or stand still.
    """

    image: VideoFrame
    arrived: float  # monotonic seconds
    connection: int  # number of the connection; a new one may show another view
    snapshot: bool = False  # from a snapshot camera, which may repeat a picture


class ClockRate:
    """How fast a camera's clock runs compared with ours, by its time stamps. Only for display."""

    SETTLING = 1.0  # seconds after the first frame in which a connection may deliver buffered frames
    WINDOW = 10.0
    MIN_SECONDS = 3.0

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float]] = deque()  # arrival, stamp
        self._settled: float | None = None

    def mark(self, stamp: float | None, arrived: float) -> None:
        """Record the time stamp of a frame in seconds, None when it has none. Not thread-safe."""
        if self._settled is None:
            self._settled = arrived + self.SETTLING
        if stamp is None or arrived < self._settled:
            return
        if self._marks:
            before = self._marks[-1]
            if abs((stamp - before[1]) - (arrived - before[0])) > LONGEST_LAG:
                self._marks.clear()
        self._marks.append((arrived, stamp))
        while arrived - self._marks[0][0] > self.WINDOW:
            self._marks.popleft()

    def value(self) -> float | None:
        """Seconds that the camera's clock counts in a real second; None in the first seconds."""
        marks = list(self._marks)
        if len(marks) < 2 or marks[-1][0] - marks[0][0] < self.MIN_SECONDS:
            return None
        return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])


class LatestFrame:
    """A slot between two threads: a newer frame replaces one that was not taken, which then counts as dropped."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._frame: Frame | None = None
        self._closed = False
        self.dropped = 0

    def put(self, frame: Frame) -> None:
        """Offer the newest frame, without blocking."""
        with self._ready:
            if self._frame is not None:
                self.dropped += 1
            self._frame = frame
            self._ready.notify()

    @property
    def closed(self) -> bool:
        return self._closed

    def take(self, seconds: float) -> Frame | None:
        """Wait for a frame; None when closed, or when none arrived within `seconds`."""
        with self._ready:
            self._ready.wait_for(lambda: self._frame is not None or self._closed, seconds)
            frame, self._frame = self._frame, None
            return None if self._closed else frame

    def close(self) -> None:
        """Accept no more frames, and wake the thread that waits."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()


class StallTimeout:
    """How long a camera may send no frame: its time-out, or longer for a camera with rare frames."""

    USUAL_DISTANCES = 3  # times the usual interval of frames
    LONGEST = 60.0  # seconds
    BUFFERED = 3  # frames that libav may have read while opening the stream; they arrive in one burst

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self.limit = timeout
        self._buffered_until = 0.0  # when the last of these frames arrived
        self._count = 0

    def connected(self) -> None:
        """Start again for the frames of a new connection."""
        self._count = 0

    def mark(self, arrived: float) -> None:
        """Record the arrival of a frame (monotonic seconds)."""
        self._count += 1
        if self._count <= self.BUFFERED:
            self._buffered_until = arrived
        elif arrived > self._buffered_until:
            usual = self.USUAL_DISTANCES * (arrived - self._buffered_until) / (self._count - self.BUFFERED)
            self.limit = min(max(self._timeout, usual), max(self._timeout, self.LONGEST))

    def stalled(self) -> None:
        """Record that no frame arrived within `limit`. After only a few frames the limit doubles."""
        if 0 < self._count <= self.BUFFERED:
            self.limit = min(2 * self.limit, max(self._timeout, self.LONGEST))


class RateMeter:
    """Events a second over the last few seconds, or over the last few events where they are rarer."""

    WINDOW = 5.0  # seconds: long enough for a steady value, short enough to show a change
    MIN_EVENTS = 4  # kept however old they are
    SILENT_DISTANCES = 3  # usual intervals without an event, after which the rate is 0

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self._lock = threading.Lock()

    def tick(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._times.append(now)
            self._forget(now)

    def value(self) -> float:
        """Events a second now; 0 when no more arrive."""
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            if len(self._times) < 2:
                return 0.0
            span, silent = self._times[-1] - self._times[0], now - self._times[-1]
            usual = span / (len(self._times) - 1)
            if silent > max(self.WINDOW, self.SILENT_DISTANCES * usual):
                return 0.0
            return (len(self._times) - 1) / max(span if silent < 2 * usual else now - self._times[0], 1.0)

    def _forget(self, now: float) -> None:
        while len(self._times) > self.MIN_EVENTS and now - self._times[0] > self.WINDOW:
            self._times.popleft()


class FrameSampler:
    """Selects frames so that at most `per_second` are processed."""

    TOLERANCE = 0.25  # of a period, because the frames of a camera with exactly that rate jitter

    def __init__(self, per_second: float) -> None:
        self._period = 1 / per_second
        self._due = 0.0

    def due(self, now: float) -> bool:
        """Whether the frame that arrived at `now` (seconds) is due."""
        if now < self._due - self.TOLERANCE * self._period:
            return False
        fell_behind = now > self._due + self._period
        self._due = (now if fell_behind else self._due) + self._period
        return True


class CpuMeter:
    """Measures a thread's CPU time, a second and a frame, over the last few seconds."""

    WINDOW = 5.0

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float, int]] = deque()  # monotonic, CPU of the thread, frames so far

    def mark(self, now: float, frames: int) -> None:
        """Record the thread's CPU time; to be called in that thread, for every frame."""
        if not self._marks or now - self._marks[-1][0] >= 0.5:
            self._marks.append((now, time.thread_time(), frames))
            while now - self._marks[0][0] > self.WINDOW:
                self._marks.popleft()

    def values(self) -> tuple[float, float] | None:
        """(CPU seconds a second, CPU seconds a frame); None in the first second."""
        marks = list(self._marks)
        if len(marks) < 2 or marks[-1][0] - marks[0][0] < 1:
            return None
        wall, cpu, frames = (after - before for before, after in zip(marks[0], marks[-1], strict=True))
        return cpu / wall, cpu / max(1, frames)
