"""The times of a clip's packets: from 0, only growing, in the order in which the pictures are to be seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias, cast

from av.packet import Packet
from av.video.stream import VideoStream

TICKS = Fraction(1, 90000)  # a clip's own unit of time, seconds
MOST_REORDERED = 16  # packets that a codec may hold back to bring its pictures into order
SMOOTH = 0.2  # how fast the measured speed of a camera's clock follows
SLOWEST, FASTEST = 0.05, 20.0  # beyond this the distance of two stamps says nothing of the clock's speed

VideoPacket: TypeAlias = "Packet[VideoStream]"


@dataclass(frozen=True)
class TimedPacket:
    """A packet and when it is to be decoded, in seconds on the monotonic clock."""

    packet: VideoPacket
    at: float


class ClipTimes:
    """Copies the packets of one clip and stamps the copies; `rate` counts until the packets tell theirs."""

    def __init__(self, rate: Fraction) -> None:
        self._step = max(1, round(1 / rate / TICKS))
        self._first: float | None = None
        self._newest: int | None = None
        self._count = 0

    @property
    def length(self) -> float:
        """Seconds of what was stamped."""
        return 0.0 if self._newest is None else float((self._newest + self._usual()) * TICKS)

    def copies(self, packets: Iterable[TimedPacket]) -> Iterator[VideoPacket]:
        """Each packet's copy, once the next one is known: it lasts until that begins."""
        before: VideoPacket | None = None
        for timed, late in _delays(packets):
            copy = self._copy(timed, late)
            if before is not None:
                before.duration = (copy.dts or 0) - (before.dts or 0)
                yield before
            before = copy
        if before is not None:
            before.duration = self._usual()
            yield before

    def _copy(self, timed: TimedPacket, late: float) -> VideoPacket:
        if self._first is None:
            self._first = timed.at
        at = round((timed.at - self._first) / TICKS)
        if self._newest is not None:
            at = max(at, self._newest + 1)
        copy = cast("VideoPacket", Packet(bytes(timed.packet)))
        copy.is_keyframe = timed.packet.is_keyframe
        copy.time_base = TICKS
        copy.dts, copy.pts = at, at + round(late / TICKS)
        self._newest = at
        self._count += 1
        return copy

    def _usual(self) -> int:
        return self._step if self._count < 2 or not self._newest else round(self._newest / (self._count - 1))


def _delays(packets: Iterable[TimedPacket]) -> Iterator[tuple[TimedPacket, float]]:
    """Each packet, and how many seconds after its decoding it is shown."""
    speed = _Speed()
    held: list[TimedPacket] = []
    for timed in packets:
        speed.mark(_seconds(timed.packet.dts, timed.packet), timed.at)
        held.append(timed)
        # The first ones of an RTSP connection have no decoding time; the next one that has it tells theirs.
        if (timed.packet.dts is None or not speed.known) and len(held) <= MOST_REORDERED:
            continue
        yield from _placed(held, speed.value)
        held = []
    yield from _placed(held, speed.value)


def _placed(held: list[TimedPacket], speed: float) -> Iterator[tuple[TimedPacket, float]]:
    shown = [_seconds(timed.packet.pts, timed.packet) for timed in held]
    known = [pts for pts in shown if pts is not None]
    if known and known == shown[1:]:  # a key frame without a stamp is shown before what follows it
        shown[0] = min(known) - (held[1].at - held[0].at) / speed
    for timed, pts in zip(held, shown, strict=True):
        reference = held[-1] if timed.packet.dts is None else timed
        decoded = _seconds(reference.packet.dts, reference.packet)
        if pts is None or decoded is None:
            yield timed, 0.0
        else:
            yield timed, max(0.0, (pts - decoded) * speed + reference.at - timed.at)


def _seconds(stamp: int | None, packet: VideoPacket) -> float | None:
    return None if stamp is None or packet.time_base is None else float(stamp * packet.time_base)


class _Speed:
    """Real seconds in a second of the camera's clock: what turns a delay on that clock into a real one."""

    def __init__(self) -> None:
        self.value = 1.0
        self._before: tuple[float, float] | None = None
        self.known = False

    def mark(self, stamp: float | None, at: float) -> None:
        """Note the stamp of a packet at that time."""
        if stamp is None:
            return
        if self._before is not None and stamp > self._before[0]:
            value = (at - self._before[1]) / (stamp - self._before[0])
            if SLOWEST < value < FASTEST:
                self.value += (value - self.value) * (SMOOTH if self.known else 1)
                self.known = True
        self._before = (stamp, at)
