"""One connection to one source through PyAV: packets, and the frames in them, until it fails."""

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

MAX_DAMAGED_SECONDS = 10.0  # seconds: a camera whose every frame counts as damaged is scored all the same
KEY_FRAME_SECONDS = 120.0  # that a first picture is waited for while packets arrive: some cameras send a key a minute
KEY_FRAME_REMEDY = "set the camera's key frame interval (GOP, I-frame interval) to 2 s"
LONGEST_GAP = 2.0  # seconds between two frames of a file, or twice the usual; a single one that is longer is wrong
LONGEST_PAUSE = 60.0  # seconds: a time-lapse with rarer pictures is played faster than it was made
SHORTEST_PASS = 1.0  # seconds: a file of a picture or two is not opened more often
SHORTEST_GAP = 1 / 240  # seconds: slow motion of phones is recorded at 240 frames a second


class Connection:
    """An open source. Open, read and close it in one thread.

    Raises what `failures.classify` knows, while opening and from `packets()`, which never ends otherwise.
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
        self.silence = (
            0.0  # seconds between two frames that are normal by the source's nature; of a camera nobody knows
        )
        self._timeout = timeout
        self._key_frame_timeout = key_frame_timeout
        self._opened = time.monotonic()
        self._packet_decoded = False  # whether the newest packet gave a frame
        self._any_decoded = self._decoder_refuses = False
        self._first_key_frame: float | None = None  # when the first key frame came
        self._container = open_source(address, timeout, silence or timeout, transport, format)
        self.format = self._container.format.name
        self._damage = _DamageTracker()
        self.upright = Upright()
        self.damaged = 0
        self.codec = ""
        try:
            self._stream = self._select_video()
            self._stream.thread_type = "NONE"  # frame threads add latency; a thread a camera is parallel enough
            self.codec = self._stream.codec_context.name
            self.footage: Footage = footage_of(self._stream)
            self.pace = None if self.live else self._file_rate()
            if self.pace is not None:
                self.silence = timeout + LONGEST_PAUSE
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the source."""
        self._container.close()

    def is_continuous(self) -> bool:
        """Whether three packets come, which are lost: two may be a picture and its preview in one file."""
        try:
            return sum(bool(packet.size) for packet in islice(self._container.demux(self._stream), 3)) == 3
        except av.error.FFmpegError:
            return False

    def packets(self) -> Iterator[VideoPacket]:
        """Every packet of the video; the empty one at the end flushes the decoder."""
        newest = time.monotonic()
        for packet in self._container.demux(self._stream):
            self._packet_decoded = False
            if packet.is_keyframe and packet.size and self._first_key_frame is None:
                self._first_key_frame, self._decoder_refuses = time.monotonic(), False
            yield packet
            now = time.monotonic()
            if self._packet_decoded:
                newest = now  # what the reader took its time for, such as a file's pace, is no silence
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
        """What is waited for while packets arrive and no picture was there yet; None when it is not normal any more."""
        if self._any_decoded or (self._first_key_frame is not None and self._decoder_refuses):
            return None
        seconds = time.monotonic() - self._opened
        came = (
            "a key frame came, but no whole picture"
            if self._first_key_frame is not None
            else "packets arrive, but no key frame"
        )
        return Failure(Cause.NO_KEY_FRAME, f"{came} for {seconds:.0f} s: {KEY_FRAME_REMEDY}")

    def _file_rate(self) -> Fraction:
        """Frames a second of a file: by the usual distance of its stamps where the file lists them all."""
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
            raise SourceError(
                Cause.CODEC, f"{'what answers there sends' if self.live else 'the file holds'} sound alone"
            )
        if stream is None:
            raise NoVideo
        if getattr(stream, "codec_context", None) is None:
            raise SourceError(Cause.CODEC, "there is no decoder for the codec of its video")
        return stream

    def _nothing_decoded(self) -> Exception:
        if self._any_decoded:
            return NoFrames(f"packets arrive, but no frame could be decoded for {self._timeout:g} s")
        return SourceError(Cause.CODEC, f"key frames arrive, but the decoder of {self.codec} refuses them")

    def decode(self, packet: VideoPacket) -> list[VideoFrame]:
        """The frames in a packet; what cannot be decoded, or only in part, is counted in `damaged`."""
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            self.damaged += self._first_key_frame is not None  # before the first key frame nothing is damaged
            self._decoder_refuses = True
            self._damage.mark_damaged()
            return []
        if frames:
            self._packet_decoded = self._any_decoded = True
            self.damaged += sum(frame.is_corrupt for frame in frames)
        return frames

    def is_trusted(self, frame: VideoFrame) -> bool:
        """Whether the frame shows what the camera saw: neither it nor one that it builds on was damaged."""
        return self._damage.is_trusted(frame, time.monotonic())


class _DamageTracker:
    """A damaged frame spoils those after it up to the next key frame."""

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
    """Holds back a file's frames so that they come at their own speed; wrong stamps neither hold them up nor rush them.

    `rate` is what the file says of its frames a second; it counts where a stamp is wrong.
    """

    def __init__(self, stop: threading.Event, rate: Fraction) -> None:
        self._stop = stop
        self._usual = min(max(1 / float(rate), SHORTEST_GAP), LONGEST_PAUSE)
        self._longest = min(max(LONGEST_GAP, 2 / float(rate)), LONGEST_PAUSE)
        self._before = 0.0  # the gap before, as it was stamped
        self._stamp: float | None = None
        self._due: float | None = None

    def wait(self, frame: VideoFrame) -> bool:
        """Wait until the frame is due; False when stopped in the meantime."""
        now = time.monotonic()
        if self._due is None or now - self._due > self._longest:  # the first one, or decoding fell behind
            self._due = now
        else:
            self._due += self._gap(frame.time)
        self._stamp = frame.time
        return not self._stop.wait(max(0.0, self._due - now))

    def wait_before_replay(self, began: float) -> bool:
        """Wait until a file that began then may begin again; False when stopped in the meantime."""
        left = began + SHORTEST_PASS - time.monotonic()
        if left > 0:
            self._due = None  # else what follows would come at once, to make up for this wait
        return not self._stop.wait(max(0.0, left))

    def _gap(self, stamp: float | None) -> float:
        gap = 0.0 if stamp is None or self._stamp is None else stamp - self._stamp
        before, self._before = self._before, gap
        if self._longest < gap <= 2 * before:  # rare pictures for a while; a single long gap is a wrong stamp
            return min(gap, LONGEST_PAUSE)
        return gap if SHORTEST_GAP <= gap <= self._longest else self._usual
