"""Records a camera's packets into the ring buffer, and from there into the clips of events."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from core.inference.cameras.packet_clock import PacketClock
from core.inference.cameras.packet_ring import PacketRing
from core.inference.events.clip_timestamps import TimedPacket, VideoPacket
from core.inference.events.clips import ClipWriter, Footage


@dataclass
class Recording:
    """A clip in progress. Times are monotonic seconds."""

    clip: ClipWriter
    full_at: float
    until: float = math.inf


class ClipRecorder:
    """The reader thread adds packets, the scoring thread begins and ends clips; neither waits for a disk."""

    def __init__(self, seconds: float) -> None:
        self._ring = PacketRing(seconds)
        self._announced: Footage | None = None  # as the connection declared it
        self._footage: Footage | None = None  # as the decoder found it
        self._size: tuple[int, int] | None = None
        self._clock: PacketClock | None = None
        self._newest: TimedPacket | None = None
        self._recordings: list[Recording] = []
        self._closing: list[ClipWriter] = []
        self._lock = threading.Lock()

    def keep_seconds(self, seconds: float) -> None:
        """Set how far back a clip may begin."""
        with self._lock:
            self._ring.seconds = seconds

    def connected(self, footage: Footage) -> None:
        """Packets of that kind follow. Clips continue when it is the same as before (a file that is replayed)."""
        with self._lock:
            if footage != self._announced:
                self._cut()
                self._clock = None
            self._clock = self._clock or PacketClock(float(1 / footage.rate), footage.stamped)
            self._announced = self._footage = footage
            self._size = None

    def disconnected(self) -> None:
        """The connection ended: later packets belong to no present clip."""
        with self._lock:
            self._cut()
            self._announced = self._footage = self._clock = self._newest = None

    def keep(self, packet: VideoPacket, at: float) -> None:
        """Add a packet that arrived at `at` (monotonic seconds), before it is decoded."""
        stamp = None if packet.dts is None or packet.time_base is None else float(packet.dts * packet.time_base)
        with self._lock:
            if packet.size and self._clock is not None:  # the last packet of a file is empty
                self._newest = TimedPacket(packet, self._clock.at(stamp, at))
                self._ring.append(self._newest, at)

    def decoded(self, at: float, size: tuple[int, int] | None) -> None:
        """The newest packet was decoded into a picture of that size, None for no picture. A new size ends the clips."""
        with self._lock:
            newest = self._newest
            if newest is None:
                return
            if size is not None and size != self._size:
                self._resized(newest, at, size)
            finished = [
                recording for recording in self._recordings if at >= recording.until or newest.at >= recording.full_at
            ]
            if finished:
                self._close(finished)
            for recording in self._recordings:
                if newest is not recording.clip.newest:  # it was in the ring when the clip began
                    recording.clip.write(newest)

    def begin(self, since: float, max_seconds: float, must_show: float) -> Recording | None:
        """A clip from the ring's key frame before `since` on; it collects and is written once its `start` is called.

        It lasts at most `max_seconds`. Where the key frame is so long before that the clip would end before
        `must_show`, the time before `since` does not count. None when no packet has arrived yet.
        """
        with self._lock:
            if self._footage is None:
                return None
            packets = self._ring.since(since)
            begins = packets[0].at if packets else since
            full = (begins if begins + max_seconds > must_show else since) + max_seconds
            clip = ClipWriter(self._footage, [timed for timed in packets if timed.at < full])
            recording = Recording(clip, full)
            self._recordings.append(recording)
            return recording

    def cancel(self, recording: Recording) -> None:
        """Discard a recording whose clip was not started."""
        with self._lock:
            recording.clip.finish()
            self._recordings = [other for other in self._recordings if other is not recording]

    def open_clips(self) -> list[ClipWriter]:
        """The clips whose files are not closed yet."""
        with self._lock:
            clips = [*self._closing, *(recording.clip for recording in self._recordings)]
        return [clip for clip in clips if not clip.join(0)]

    def _resized(self, newest: TimedPacket, at: float, size: tuple[int, int]) -> None:
        if self._size is not None:
            self._cut()
            self._ring.append(newest, at)
        self._size = size
        if self._footage is not None:
            self._footage = self._footage.with_size(*size)

    def _cut(self) -> None:
        self._close(self._recordings)
        self._ring.clear()

    def _close(self, finished: list[Recording]) -> None:
        """End these recordings, and remember each clip until its file is closed."""
        for recording in finished:
            recording.clip.finish()
        self._recordings = [recording for recording in self._recordings if recording not in finished]
        self._closing = [clip for clip in self._closing if not clip.join(0)] + [
            recording.clip for recording in finished
        ]
