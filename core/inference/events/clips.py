"""Clip files: packets copied into a fragmented MP4, which can be played however its writing ended."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import OutputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from core.inference.events.clip_timestamps import ClipTimestamps, TimedPacket, VideoPacket

logger = logging.getLogger(__name__)

# Each fragment stands for itself: a key frame or a second, whichever comes first, is all that a kill can take.
MP4_OPTIONS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": "1000000",
    "flush_packets": "1",
    "video_track_timescale": "90000",
}
BACKLOG = 64 * 1024 * 1024  # bytes that may wait for the disk
DEFAULT_RATE = Fraction(25)
MIN_RATE, MAX_RATE = Fraction(1, 60), Fraction(240)  # frames a second that a stream may say of itself
NO_TIMESTAMPS = 0x80  # libav's AVFMT_NOTIMESTAMPS: MJPEG over HTTP, bare H.264; the stamps there are are invented
MAX_LEADING_SECONDS = 1.0  # seconds that a picture may be shown before the key frame it came after
CLOSE_SECONDS = 2.0

ClipDone = Callable[[float, int, str], None]


@dataclass(frozen=True)
class Footage:
    """What packets of one stream are, independent of the connection they come from.

    `template` is a copy of the stream's parameters; None when the picture's size changed on the way, and the parameters
    are taken from the next key frame. `stamped`: its format has a clock.
    """

    codec: str
    width: int
    height: int
    rate: Fraction
    extradata: bytes | None = field(repr=False)
    template: Stream | None = field(repr=False, compare=False)
    stamped: bool = True

    def with_size(self, width: int, height: int) -> Footage:
        """The same with the size that the decoder found."""
        if (width, height) == (self.width, self.height):
            return self
        return replace(self, width=width, height=height, extradata=None, template=None)


def footage_of(stream: VideoStream) -> Footage:
    """What comes from `stream`; call it in the thread that reads the stream."""
    context = stream.codec_context
    try:
        template = av.open(io.BytesIO(), mode="w", format="mp4").add_stream_from_template(stream, opaque=True)
    except (ValueError, av.error.FFmpegError):  # nothing that fits into an MP4: the clip will say so
        template = None
    rates = (stream.guessed_rate, stream.average_rate)  # made from time stamps: nonsense where those are
    slow = all(rate and 0 < rate < MIN_RATE for rate in rates)  # a time-lapse, when both agree
    rate = next((rate for rate in rates if rate and MIN_RATE <= rate <= MAX_RATE), MIN_RATE if slow else DEFAULT_RATE)
    usable = template if context.extradata and context.width else None
    stamped = not stream.container.format.flags & NO_TIMESTAMPS
    return Footage(context.name, context.width, context.height, rate, context.extradata, usable, stamped)


class ClipWriter:
    """Writes one clip in a thread of its own. `write` never waits; packets collect from the beginning on.

    `done(seconds, bytes, why)` is called once, from that thread; `why` is not empty when the clip failed.
    """

    def __init__(self, footage: Footage, packets: Iterable[TimedPacket], backlog: int = BACKLOG) -> None:
        self.footage = footage
        self._waiting: deque[TimedPacket] = deque()
        self._size = 0
        self._backlog = backlog
        self._ready = threading.Condition()
        self._finished = False
        self._why = ""
        self._timestamps = ClipTimestamps(footage.rate)
        self._thread: threading.Thread | None = None
        self._first_shown_at: float | None = None  # when the first key frame is shown, by its stamp
        self._first_dts: int | None = None  # when it is decoded
        self.newest: TimedPacket | None = None
        for packet in packets:
            self.write(packet)

    def start(self, path: Path, on_done: ClipDone) -> None:
        """Begin writing to `path`, in place of what is there."""
        thread = threading.Thread(target=self._run, args=(path, on_done), name=f"clip-{path.stem}", daemon=True)
        thread.start()
        self._thread = thread  # whoever joins it finds it started

    def write(self, timed: TimedPacket) -> None:
        """One more packet; a clip begins with a key frame. Too many that wait for the disk fail the clip."""
        packet = timed.packet
        with self._ready:
            if self._finished or not packet.size or (self.newest is None and not packet.is_keyframe):
                return
            if self.newest is None:
                self._first_shown_at, self._first_dts = _shown_at(packet), packet.dts
            self.newest = timed
            if self._is_leading(packet):
                return
            self._waiting.append(timed)
            self._size += packet.size
            if self._size > self._backlog:
                self._fail(f"the disk is too slow: {self._size // 2**20} MiB were waiting to be written")
            self._ready.notify()

    def finish(self, why: str = "") -> None:
        """No more packets come; `why` when the clip is to count as failed."""
        with self._ready:
            self._finished = True
            if why:
                self._fail(why)
            self._ready.notify()

    def join(self, seconds: float) -> bool:
        """Wait for the file to be closed; whether it is."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def _is_leading(self, packet: VideoPacket) -> bool:
        """Whether it is shown before the first key frame: it builds on pictures that the clip does not have."""
        first_shown_at, shown_at = self._first_shown_at, _shown_at(packet)
        if first_shown_at is None or shown_at is None or shown_at == first_shown_at:
            return False
        later = (
            self._first_dts is None or packet.dts is None or packet.dts > self._first_dts
        )  # else a clock was set back
        if later and 0 < first_shown_at - shown_at < MAX_LEADING_SECONDS and not packet.is_keyframe:
            return True
        self._first_shown_at = None  # such pictures come directly after their key frame
        return False

    def _fail(self, why: str) -> None:
        self._why = self._why or why
        self._finished = True
        self._waiting.clear()
        self._size = 0

    def _run(self, path: Path, on_done: ClipDone) -> None:
        size = 0
        try:
            # A file of Python's: PyAV opens and closes its own under the interpreter's lock, and a disk that hangs
            # would hang every thread.
            with open(path, "wb", buffering=0) as file:
                self._record(file)
                os.fsync(file.fileno())
                size = os.fstat(file.fileno()).st_size
        except (OSError, ValueError) as error:
            logger.warning("clip %s: %s", path.name, error)
            self.finish(_explain_failure(error, self.footage))
        except Exception:
            logger.exception("clip %s", path.name)
            self.finish("writing failed; see the log")
        seconds = self._timestamps.length
        if not seconds:
            with contextlib.suppress(OSError):  # on a disk that cannot be written there may be none to remove
                path.unlink()
        why = self._why or ("" if seconds else "no key frame arrived")
        if why:
            logger.warning("clip %s failed: %s", path.name, why)
        on_done(seconds, size, why)

    def _record(self, file: io.RawIOBase) -> None:
        with av.open(file, mode="w", format="mp4", options=MP4_OPTIONS) as container:
            stream = _add_stream(container, self.footage)
            for copy in self._timestamps.stamped_copies(iter(self._next, None)):
                copy.stream = stream  # type: ignore[assignment]  # a video stream, opened by its parameters alone
                try:
                    container.mux(copy)
                except av.error.InvalidDataError:
                    continue  # damaged on the way to us: what else came is kept

    def _next(self) -> TimedPacket | None:
        with self._ready:
            self._ready.wait_for(lambda: self._waiting or self._finished)
            if not self._waiting:
                return None
            timed = self._waiting.popleft()
            self._size -= timed.packet.size
            return timed


def _shown_at(packet: VideoPacket) -> float | None:
    return None if packet.pts is None or packet.time_base is None else float(packet.pts * packet.time_base)


def clip_seconds(path: Path) -> float:
    """Seconds that a clip plays, by what is in the file; 0 when there is no picture in it."""
    times: list[float] = []
    with contextlib.suppress(OSError, ValueError, av.error.FFmpegError), open(path, "rb") as file:
        for packet in av.open(file, mode="r").demux(video=0):
            if packet.dts is not None and packet.time_base is not None:
                times.append(float(packet.dts * packet.time_base))
    if len(times) < 2:
        return 0.0 if not times else float(1 / DEFAULT_RATE)
    return (times[-1] - times[0]) * len(times) / (len(times) - 1)


def _add_stream(container: OutputContainer, footage: Footage) -> Stream:
    stream: Stream
    if footage.template is not None:
        stream = container.add_stream_from_template(footage.template, opaque=True)
    else:
        stream = container.add_mux_stream(footage.codec, footage.rate, width=footage.width, height=footage.height)
    if footage.codec == "hevc" and stream.codec_context is not None:  # one without parameters has none
        stream.codec_context.codec_tag = "hvc1"  # libav's own choice, hev1, is not played by Apple's players
    return stream


def _explain_failure(error: Exception, footage: Footage) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"an MP4 file cannot hold {footage.codec} as the camera sends it"
