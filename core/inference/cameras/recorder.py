"""Records a camera's packets: into the ring, and from there into the clips of events."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from core.inference.cameras.ring import PacketRing
from core.inference.events.clips import ClipWriter, Footage, VideoPacket


@dataclass
class Recording:
    """A clip that goes on until `until` (monotonic seconds)."""

    clip: ClipWriter
    until: float


class Recorder:
    """The reader's thread feeds it, the pipeline's begins and ends clips; neither waits for a disk."""

    def __init__(self, seconds: float) -> None:
        self._ring = PacketRing(seconds)
        self._origin: Footage | None = None  # as the connection told it
        self._footage: Footage | None = None  # as the decoder found it
        self._size: tuple[int, int] | None = None
        self._recordings: list[Recording] = []
        self._closing: list[ClipWriter] = []
        self._lock = threading.Lock()

    def keep_seconds(self, seconds: float) -> None:
        """How far back a clip may begin."""
        with self._lock:
            self._ring.seconds = seconds

    def connected(self, footage: Footage) -> None:
        """Packets of that kind follow. Clips go on when it is what came before: a file from its beginning again."""
        with self._lock:
            if footage != self._origin:
                self._cut()
            self._origin = self._footage = footage
            self._size = None

    def lost(self) -> None:
        """The connection is gone, or is to be: what comes next belongs to no clip of now."""
        with self._lock:
            self._cut()
            self._origin = self._footage = None

    def keep(self, packet: VideoPacket, at: float) -> None:
        """A packet has come, at `at`; it is not decoded yet."""
        with self._lock:
            self._ring.append(packet, at)

    def decoded(self, packet: VideoPacket, at: float, size: tuple[int, int] | None) -> None:
        """The packet was decoded into a picture of that size, None: into none yet. A new size ends the clips."""
        with self._lock:
            if size is not None and size != self._size:
                self._resized(packet, at, size)
            over = [recording for recording in self._recordings if at > recording.until]
            if over:
                self._close(over)
            for recording in self._recordings:
                if packet is not recording.clip.newest:  # the ring had it when the clip began
                    recording.clip.write(packet)

    def begin(self, since: float, until: float) -> Recording | None:
        """A clip from the ring's key frame before `since` on; it collects and is written once its `start` is called.

        None when nothing has come yet.
        """
        with self._lock:
            if self._footage is None:
                return None
            recording = Recording(ClipWriter(self._footage, self._ring.since(since)), until)
            self._recordings.append(recording)
            return recording

    def cancel(self, recording: Recording) -> None:
        """It will never be started."""
        with self._lock:
            recording.clip.finish()
            self._recordings = [one for one in self._recordings if one is not recording]

    def open_clips(self) -> list[ClipWriter]:
        """Those whose files are not closed yet."""
        with self._lock:
            clips = [*self._closing, *(recording.clip for recording in self._recordings)]
        return [clip for clip in clips if not clip.join(0)]

    def _resized(self, packet: VideoPacket, at: float, size: tuple[int, int]) -> None:
        if self._size is not None:
            self._cut()
            self._ring.append(packet, at)
        self._size = size
        if self._footage is not None:
            self._footage = self._footage.sized(*size)

    def _cut(self) -> None:
        self._close(self._recordings)
        self._ring.clear()

    def _close(self, over: list[Recording]) -> None:
        """Those get nothing more; each is remembered until its file is closed."""
        for recording in over:
            recording.clip.finish()
        self._recordings = [recording for recording in self._recordings if recording not in over]
        self._closing = [clip for clip in self._closing if not clip.join(0)] + [one.clip for one in over]
