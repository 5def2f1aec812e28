"""Ring buffer of a camera's newest packets, from which a clip's pre-roll is cut."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from core.inference.events.clip_timestamps import TimedPacket

MAX_RING_BYTES = 32 * 1024 * 1024  # 30 s at 8 Mbit/s; a camera with a higher bit rate has a shorter pre-roll


@dataclass
class _Gop:
    """Group of pictures: a key frame and the packets up to the next one, the smallest part that can be played."""

    began: float
    packets: list[TimedPacket] = field(default_factory=list)
    size: int = 0


class PacketRing:
    """Whole groups of pictures, bounded by seconds and bytes. Not thread-safe."""

    def __init__(self, seconds: float, max_bytes: int = MAX_RING_BYTES) -> None:
        self.seconds = seconds
        self._max_bytes = max_bytes
        self._gops: deque[_Gop] = deque()
        self.size = 0

    def append(self, timed: TimedPacket, at: float) -> None:
        """Keep a packet that arrived at `at` (monotonic seconds). Packets before the first key frame are dropped."""
        if timed.packet.is_keyframe:
            self._gops.append(_Gop(at))
        elif not self._gops:
            return
        self._gops[-1].packets.append(timed)
        self._gops[-1].size += timed.packet.size
        self.size += timed.packet.size
        self._trim(at)

    def since(self, moment: float) -> list[TimedPacket]:
        """The packets from the last key frame at or before `moment`, or from the oldest key frame."""
        first = 0
        for index, gop in enumerate(self._gops):
            if gop.began <= moment:
                first = index
        return [packet for gop in list(self._gops)[first:] for packet in gop.packets]

    def clear(self) -> None:
        self._gops.clear()
        self.size = 0

    def _trim(self, now: float) -> None:
        while len(self._gops) > 1 and (self._gops[1].began <= now - self.seconds or self.size > self._max_bytes):
            self.size -= self._gops.popleft().size
        if self.size > self._max_bytes:  # a single endless group: nothing can be played until the next key frame
            self.clear()
