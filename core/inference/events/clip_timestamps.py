"""Timestamps of a clip's packets: they start at 0, only grow, and keep the order of display."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, cast

from av.packet import Packet
from av.video.stream import VideoStream

TIME_BASE = Fraction(1, 90000)  # seconds
MAX_REORDERED = 16  # packets that a codec may hold back to reorder its pictures
SPEED_SMOOTHING = 0.2  # weight of a new measurement of the camera clock's speed
MIN_SPEED, MAX_SPEED = 0.05, 20.0  # measurements outside are ignored

VideoPacket: TypeAlias = "Packet[VideoStream]"


@dataclass(frozen=True)
class TimedPacket:
    """A packet and its decoding time, in monotonic seconds."""

    packet: VideoPacket
    at: float


class ClipTimestamps:
    """Copies the packets of one clip with new timestamps. `rate` is used until the packets' own rate is known."""

    def __init__(self, rate: Fraction) -> None:
        self._step = max(1, round(1 / rate / TIME_BASE))
        self._first: float | None = None
        self._newest: int | None = None
        self._count = 0

    @property
    def length(self) -> float:
        """Length so far, in seconds."""
        return 0.0 if self._newest is None else float((self._newest + self._mean_step()) * TIME_BASE)

    def stamped_copies(self, packets: Iterable[TimedPacket]) -> Iterator[VideoPacket]:
        """Copies of the packets, each once the next one is known, because that sets its duration."""
        previous: VideoPacket | None = None
        for timed, delay in _delays(packets):
            copy = self._copy(timed, delay)
            if previous is not None:
                previous.duration = (copy.dts or 0) - (previous.dts or 0)
                yield previous
            previous = copy
        if previous is not None:
            previous.duration = self._mean_step()
            yield previous

    def _copy(self, timed: TimedPacket, delay: float) -> VideoPacket:
        if self._first is None:
            self._first = timed.at
        at = round((timed.at - self._first) / TIME_BASE)
        if self._newest is not None:
            at = max(at, self._newest + 1)
        copy = cast("VideoPacket", Packet(bytes(timed.packet)))
        copy.is_keyframe = timed.packet.is_keyframe
        copy.time_base = TIME_BASE
        copy.dts, copy.pts = at, at + round(delay / TIME_BASE)
        self._newest = at
        self._count += 1
        return copy

    def _mean_step(self) -> int:
        return self._step if self._count < 2 or not self._newest else round(self._newest / (self._count - 1))


def _delays(packets: Iterable[TimedPacket]) -> Iterator[tuple[TimedPacket, float]]:
    """Each packet, with the seconds from its decoding to its display."""
    speed = _ClockSpeed()
    pending: list[TimedPacket] = []
    for timed in packets:
        speed.add(_seconds(timed.packet.dts, timed.packet), timed.at)
        pending.append(timed)
        # The first packets of an RTSP connection have no decoding time; it follows from the next one that has.
        if (timed.packet.dts is None or not speed.is_measured) and len(pending) <= MAX_REORDERED:
            continue
        yield from _with_delays(pending, speed.value)
        pending = []
    yield from _with_delays(pending, speed.value)


def _with_delays(pending: list[TimedPacket], speed: float) -> Iterator[tuple[TimedPacket, float]]:
    shown_times = [_seconds(timed.packet.pts, timed.packet) for timed in pending]
    known_times = [pts for pts in shown_times if pts is not None]
    if known_times and known_times == shown_times[1:]:  # a key frame without a timestamp comes before the others
        shown_times[0] = min(known_times) - (pending[1].at - pending[0].at) / speed
    for timed, pts in zip(pending, shown_times, strict=True):
        reference = pending[-1] if timed.packet.dts is None else timed
        decoded = _seconds(reference.packet.dts, reference.packet)
        if pts is None or decoded is None:
            yield timed, 0.0
        else:
            yield timed, max(0.0, (pts - decoded) * speed + reference.at - timed.at)


def _seconds(stamp: int | None, packet: VideoPacket) -> float | None:
    return None if stamp is None or packet.time_base is None else float(stamp * packet.time_base)


class _ClockSpeed:
    """Measures real seconds per second of the camera's clock, to convert delays on that clock."""

    def __init__(self) -> None:
        self.value = 1.0
        self._previous: tuple[float, float] | None = None
        self.is_measured = False

    def add(self, stamp: float | None, at: float) -> None:
        """Add a packet's timestamp (seconds) and arrival time (monotonic seconds)."""
        if stamp is None:
            return
        if self._previous is not None and stamp > self._previous[0]:
            value = (at - self._previous[1]) / (stamp - self._previous[0])
            if MIN_SPEED < value < MAX_SPEED:
                self.value += (value - self.value) * (SPEED_SMOOTHING if self.is_measured else 1)
                self.is_measured = True
        self._previous = (stamp, at)
