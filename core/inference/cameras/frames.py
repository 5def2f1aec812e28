"""A decoded frame, and what holds, samples and measures frames."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from av.video.frame import VideoFrame

LONGEST_LAG = 2.0  # seconds between what a camera's clock and ours count from one frame to the next; more is a jump


@dataclass(frozen=True)
class Frame:
    """A decoded frame, not yet converted. `arrived` is on the monotonic clock, in seconds.

    All that is measured about a camera goes by arrival: its own clock may drift, jump or stand still.
    `connection` counts the connections of its camera: a new one may show another view. `snapshot`: it was asked for as
    a single picture, which the camera may renew more rarely than it is asked.
    """

    image: VideoFrame
    arrived: float
    connection: int
    snapshot: bool = False


class ClockRate:
    """How fast a camera's clock runs against ours, by its time stamps. For people to see; nothing goes by it."""

    SETTLING = 1.0  # seconds after the first frame in which a connection may deliver what lay in buffers
    WINDOW = 10.0
    MIN_SECONDS = 3.0

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float]] = deque()  # arrival, stamp
        self._settled: float | None = None

    def mark(self, stamp: float | None, arrived: float) -> None:
        """Note the stamp of one frame (seconds, None: it has none). Called by one thread."""
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
        """Seconds that its clock counts in a real second; None before some seconds were seen."""
        marks = list(self._marks)
        if len(marks) < 2 or marks[-1][0] - marks[0][0] < self.MIN_SECONDS:
            return None
        return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])


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


class StallTimeout:
    """How long a camera may be silent: its time-out, and longer for one whose frames come rarely by nature."""

    USUAL_DISTANCES = 3  # times the usual distance of two frames
    LONGEST = 60.0  # seconds
    BUFFERED = 3  # frames that libav may have read while it opened the stream: they come at once, however rare they are

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self.limit = timeout
        self._buffered_until = 0.0  # when the last frame came that may have been read while the stream was opened
        self._count = 0

    def connected(self) -> None:
        """The frames of a new connection follow."""
        self._count = 0

    def mark(self, arrived: float) -> None:
        """One frame."""
        self._count += 1
        if self._count <= self.BUFFERED:
            self._buffered_until = arrived
        elif arrived > self._buffered_until:
            usual = self.USUAL_DISTANCES * (arrived - self._buffered_until) / (self._count - self.BUFFERED)
            self.limit = min(max(self._timeout, usual), max(self._timeout, self.LONGEST))

    def stalled(self) -> None:
        """Nothing came for `limit`. After a few frames that may be its rate: the next time it waits longer."""
        if 0 < self._count <= self.BUFFERED:
            self.limit = min(2 * self.limit, max(self._timeout, self.LONGEST))


class RateMeter:
    """Events a second over the last few seconds, or over the last few events where they are rarer."""

    WINDOW = 5.0  # seconds: steady to look at, and quick to show a change
    MIN_EVENTS = 4  # events that are kept however old they are
    SILENT_DISTANCES = 3  # times the usual distance without an event: nothing comes any more

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
            span, silent = self._times[-1] - self._times[0], now - self._times[-1]
            usual = span / (len(self._times) - 1)
            if silent > max(self.WINDOW, self.SILENT_DISTANCES * usual):
                return 0.0
            return (len(self._times) - 1) / max(span if silent < 2 * usual else now - self._times[0], 1.0)

    def _forget(self, now: float) -> None:
        while len(self._times) > self.MIN_EVENTS and now - self._times[0] > self.WINDOW:
            self._times.popleft()


class FrameSampler:
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


class CpuMeter:
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
