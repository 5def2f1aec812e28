"""One connection to a source through PyAV: yields packets and decodes them until the connection fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from statistics import median

import av.error
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from core.api_schema import Transport
from core.inference.cameras.failures import Cause, Failure, NoFrames, NoVideo, SourceError, StreamEnded
from core.inference.cameras.open_source import open_source
from core.inference.cameras.orientation import Upright
from core.inference.cameras.source_address import SourceAddress
from core.inference.events.clip_timestamps import VideoPacket
from core.inference.events.clips import Footage, footage_of

MAX_DAMAGED_SECONDS = 10.0  # after which frames are scored although every one of them counts as damaged
KEY_FRAME_SECONDS = 120.0  # to wait for a first picture: some cameras send one key frame a minute
KEY_FRAME_REMEDY = "set the camera's key frame interval (GOP, I-frame interval) to 2 s"
LONGEST_GAP = 2.0  # seconds between two frames of a file, or twice the usual gap; a single longer one is an error
LONGEST_PAUSE = 60.0  # seconds: a time-lapse with longer gaps is played faster
SHORTEST_PASS = 1.0  # seconds: a file of one or two pictures is not reopened more often
SHORTEST_GAP = 1 / 240  # seconds: phones record slow motion at 240 frames a second


class Connection:
    """An open source. Open, read and close it in the same thread.

    Opening and `packets()`, which otherwise never ends, raise errors that `failures.classify` understands.
    """

    def __init__(
        self,
        address: SourceAddress,
        timeout: float,
        transport: Transport = Transport.TCP,
        *,
        silence: float | None = None,
        key_frame_timeout: float = KEY_FRAME_SECONDS,
        format: str | None = None,
    ) -> None:
        self.live = address.live
        self.silence = 0.0  # seconds between frames that are normal for a file; unknown for a camera
        self._timeout = timeout
        self._key_frame_timeout = key_frame_timeout
        self._opened = time.monotonic()
        self._packet_decoded = False  # whether the newest packet gave a frame
        self._any_decoded = self._decoder_refuses = False
        self._first_key_frame: float | None = None  # when it arrived
        self._container = open_source(address, timeout, silence or timeout, transport, format)
        self.format = self._container.format.name
        self._damage = _DamageTracker()
        self.upright = Upright()
        self.damaged = 0
        self.codec = ""
        try:
            self._stream = self._select_video()
            self._stream.thread_type = "NONE"  # frame threads add latency, and there is one thread per camera already
            self.codec = self._stream.codec_context.name
            self.footage: Footage = footage_of(self._stream)
            self.pace = None if self.live else self._file_rate()
            if self.pace is not None:
                self.silence = timeout + LONGEST_PAUSE
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._container.close()

    def is_continuous(self) -> bool:
        """Whether three packets follow (they are lost). Two may be a picture and its preview in one file."""
        try:
            return sum(bool(packet.size) for packet in islice(self._container.demux(self._stream), 3)) == 3
        except av.error.FFmpegError:
            return False

    def packets(self) -> Iterator[VideoPacket]:
        """Every packet of the video stream; the empty one at the end flushes the decoder."""
        newest = time.monotonic()
        for packet in self._container.demux(self._stream):
            self._packet_decoded = False
            if packet.is_keyframe and packet.size and self._first_key_frame is None:
                self._first_key_frame, self._decoder_refuses = time.monotonic(), False
            yield packet
            now = time.monotonic()
            if self._packet_decoded:
                newest = now  # time the reader spent, for example on a file's pace, is not silence
            elif self.waiting_for is not None:
                if now - newest > self._key_frame_timeout:
                    raise SourceError(Cause.NO_KEY_FRAME, self.waiting_for.reason)
            elif now - max(newest, self._first_key_frame or newest) > self._timeout:
                raise self._nothing_decoded()
        if not (self.live or self._any_decoded):
            raise NoVideo
        raise StreamEnded

    @property
    def waiting_for(self) -> Failure | None:
        """Why packets have not given a picture yet; None after the first one, or when the decoder rejects them."""
        if self._any_decoded or (self._first_key_frame is not None and self._decoder_refuses):
            return None
        seconds = time.monotonic() - self._opened
        came = (
            "a key frame arrived, but no complete picture"
            if self._first_key_frame is not None
            else "packets arrive, but no key frame"
        )
        return Failure(Cause.NO_KEY_FRAME, f"{came} for {seconds:.0f} s: {KEY_FRAME_REMEDY}")

    def _file_rate(self) -> Fraction:
        """Frames a second of a file, from the median gap of its time stamps where the index lists them all."""
        entries = self._stream.index_entries
        if self._stream.time_base and 1 < len(entries) == self._stream.frames:
            stamps = sorted(entry.timestamp for entry in entries)
            usual = median(after - before for before, after in pairwise(stamps)) * self._stream.time_base
            if usual > 0:
                return 1 / Fraction(usual)
        return self.footage.rate

    def _select_video(self) -> VideoStream:
        streams = self._container.streams
        stream = next((video for video in streams.video if not video.disposition & Disposition.attached_pic), None)
        if stream is None and streams.audio:
            raise SourceError(Cause.CODEC, f"{'the camera sends' if self.live else 'the file contains'} only sound")
        if stream is None:
            raise NoVideo
        if getattr(stream, "codec_context", None) is None:
            raise SourceError(Cause.CODEC, "there is no decoder for its video codec")
        return stream

    def _nothing_decoded(self) -> Exception:
        if self._any_decoded:
            return NoFrames(f"packets arrive, but no frame could be decoded for {self._timeout:g} s")
        return SourceError(Cause.CODEC, f"key frames arrive, but the decoder of {self.codec} rejects them")

    def decode(self, packet: VideoPacket) -> list[VideoFrame]:
        """The frames in a packet. Whatever cannot be decoded completely is counted in `damaged`."""
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            self.damaged += self._first_key_frame is not None  # before the first key frame errors are normal
            self._decoder_refuses = True
            self._damage.mark_damaged()
            return []
        if frames:
            self._packet_decoded = self._any_decoded = True
            self.damaged += sum(frame.is_corrupt for frame in frames)
        return frames

    def is_trusted(self, frame: VideoFrame) -> bool:
        """Whether neither the frame nor one that it depends on was damaged."""
        return self._damage.is_trusted(frame, time.monotonic())


class _DamageTracker:
    """A damaged frame affects all frames up to the next key frame."""

    def __init__(self) -> None:
        self._damaged = False
        self._last_undamaged = time.monotonic()

    def mark_damaged(self) -> None:
        self._damaged = True

    def is_trusted(self, frame: VideoFrame, now: float) -> bool:
        if frame.key_frame or frame.is_corrupt:
            self._damaged = frame.is_corrupt
        if not self._damaged:
            self._last_undamaged = now
        return not self._damaged or now - self._last_undamaged > MAX_DAMAGED_SECONDS


class Pacer:
    """Plays a file's frames at their own speed. `rate` (frames a second) replaces wrong time stamps."""

    def __init__(self, stop: threading.Event, rate: Fraction) -> None:
        self._stop = stop
        self._usual = min(max(1 / float(rate), SHORTEST_GAP), LONGEST_PAUSE)
        self._longest = min(max(LONGEST_GAP, 2 / float(rate)), LONGEST_PAUSE)
        self._before = 0.0  # the previous gap by its time stamps
        self._stamp: float | None = None
        self._due: float | None = None

    def wait(self, frame: VideoFrame) -> bool:
        """Wait until the frame is due. Returns False when stopped meanwhile."""
        now = time.monotonic()
        if self._due is None or now - self._due > self._longest:  # the first frame, or decoding fell behind
            self._due = now
        else:
            self._due += self._gap(frame.time)
        self._stamp = frame.time
        return not self._stop.wait(max(0.0, self._due - now))

    def wait_before_replay(self, began: float) -> bool:
        """Wait until a file that started at `began` may be replayed. Returns False when stopped meanwhile."""
        left = began + SHORTEST_PASS - time.monotonic()
        if left > 0:
            self._due = None  # otherwise the next frames would come at once, to make up for this wait
        return not self._stop.wait(max(0.0, left))

    def _gap(self, stamp: float | None) -> float:
        gap = 0.0 if stamp is None or self._stamp is None else stamp - self._stamp
        before, self._before = self._before, gap
        if self._longest < gap <= 2 * before:  # a time-lapse; a single long gap is a wrong time stamp
            return min(gap, LONGEST_PAUSE)
        return gap if SHORTEST_GAP <= gap <= self._longest else self._usual
