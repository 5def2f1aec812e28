"""One connection to one source through PyAV: packets, and the frames in them, until it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av.error
from av.video.frame import VideoFrame

from core.inference.cameras.address import Address
from core.inference.cameras.failures import NoFrames, NoVideo, StreamEnded
from core.inference.cameras.opening import open_source
from core.inference.cameras.orientation import Upright
from core.inference.events.clip_times import VideoPacket
from core.inference.events.clips import Footage, footage_of
from core.inference.schemas import Transport

PATIENCE = 10.0  # seconds: a camera whose every frame counts as damaged is scored all the same
LONGEST_GAP = 2.0  # seconds between two frames of a file; more, or less than the shortest, is a stamp that is wrong
SHORTEST_GAP = 1 / 240  # seconds: slow motion of phones is recorded at 240 frames a second


class Connection:
    """An open source. Open, read and close it in one thread.

    Raises what `failures.classify` knows, while opening and from `packets()`, which never ends otherwise.
    """

    def __init__(self, address: Address, timeout: float, transport: Transport = Transport.TCP) -> None:
        self._timeout = timeout
        self.live = address.live
        self._shown = False  # whether the newest packet gave a frame
        self._container = open_source(address, timeout, transport)
        self._taint = _Taint()
        self.upright = Upright()
        self.damaged = 0
        self.codec = ""
        try:
            if not self._container.streams.video:
                raise NoVideo
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "NONE"  # frame threads add latency; a thread a camera is parallel enough
            self.codec = self._stream.codec_context.name
            self.footage: Footage = footage_of(self._stream)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the source."""
        self._container.close()

    def packets(self) -> Iterator[VideoPacket]:
        """Every packet of the video; the empty one at the end flushes the decoder."""
        newest = time.monotonic()
        for packet in self._container.demux(self._stream):
            self._shown = False
            yield packet
            now = time.monotonic()
            if self._shown:
                newest = now  # what the reader took its time for, such as a file's pace, is no silence
            elif now - newest > self._timeout:
                raise NoFrames
        raise StreamEnded

    def decode(self, packet: VideoPacket) -> list[VideoFrame]:
        """The frames in a packet; what cannot be decoded, or only in part, is counted in `damaged`."""
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            self.damaged += 1
            self._taint.spoil()
            return []
        if frames:
            self._shown = True
            self.damaged += sum(frame.is_corrupt for frame in frames)
        return frames

    def trusted(self, frame: VideoFrame) -> bool:
        """Whether the frame shows what the camera saw: neither it nor one that it builds on was damaged."""
        return self._taint.trusted(frame, time.monotonic())


class _Taint:
    """A damaged frame spoils those after it up to the next key frame."""

    def __init__(self) -> None:
        self._spoilt = False
        self._clean = time.monotonic()

    def spoil(self) -> None:
        self._spoilt = True

    def trusted(self, frame: VideoFrame, now: float) -> bool:
        if frame.key_frame or frame.is_corrupt:
            self._spoilt = frame.is_corrupt
        if not self._spoilt:
            self._clean = now
        return not self._spoilt or now - self._clean > PATIENCE


class Pacer:
    """Holds back a file's frames so that they come at their own speed; wrong stamps neither hold them up nor rush them.

    `rate` is what the file says of its frames a second; it counts where a stamp is wrong.
    """

    def __init__(self, stop: threading.Event, rate: Fraction) -> None:
        self._stop = stop
        self._usual = min(max(1 / float(rate), SHORTEST_GAP), LONGEST_GAP)
        self._stamp: float | None = None
        self._due: float | None = None

    def wait(self, frame: VideoFrame) -> bool:
        """Wait until the frame is due; False when stopped in the meantime."""
        now = time.monotonic()
        if self._due is None or now - self._due > LONGEST_GAP:  # the first one, or decoding fell behind
            self._due = now
        else:
            self._due += self._gap(frame.time)
        self._stamp = frame.time
        return not self._stop.wait(max(0.0, self._due - now))

    def _gap(self, stamp: float | None) -> float:
        gap = 0.0 if stamp is None or self._stamp is None else stamp - self._stamp
        return gap if SHORTEST_GAP <= gap <= LONGEST_GAP else self._usual
