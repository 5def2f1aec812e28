"""Ring buffer of a camera's newest packets, from which a clip's pre-roll is cut."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from core.inference.events.clip_timestamps import TimedPacket

MAX_RING_BYTES = 32 * 1024 * 1024  # bytes: 30 s at 8 Mbit/s; a camera that sends more has a shorter time before


@dataclass
class _Gop:
    """A key frame and what follows it up to the next: the smallest part that can be played."""

    began: float
    packets: list[TimedPacket] = field(default_factory=list)
    size: int = 0


class PacketRing:
    """Whole groups of pictures, bounded by seconds and bytes. Not thread-safe: its recorder guards it."""

    def __init__(self, seconds: float, max_bytes: int = MAX_RING_BYTES) -> None:
        self.seconds = seconds
        self._max_bytes = max_bytes
        self._gops: deque[_Gop] = deque()
        self.size = 0

    def append(self, timed: TimedPacket, at: float) -> None:
        """Keep a packet that came at `at` (monotonic seconds); what comes before any key frame is of no use."""
        if timed.packet.is_keyframe:
            self._gops.append(_Gop(at))
        elif not self._gops:
            return
        self._gops[-1].packets.append(timed)
        self._gops[-1].size += timed.packet.size
        self.size += timed.packet.size
        self._trim(at)

    def since(self, moment: float) -> list[TimedPacket]:
        """From the last key frame at or before `moment` on; from the oldest one when none is that old."""
        first = 0
        for index, gop in enumerate(self._gops):
            if gop.began <= moment:
                first = index
        return [packet for gop in list(self._gops)[first:] for packet in gop.packets]

    def clear(self) -> None:
        """Forget all of it."""
        self._gops.clear()
        self.size = 0

    def _trim(self, now: float) -> None:
        while len(self._gops) > 1 and (self._gops[1].began <= now - self.seconds or self.size > self._max_bytes):
            self.size -= self._gops.popleft().size
        if self.size > self._max_bytes:  # one endless group: nothing can be played until its next key frame
            self.clear()
