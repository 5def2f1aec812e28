"""Clip files: packets copied into a fragmented MP4, which stays playable even if writing is interrupted."""

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

# A fragment ends at a key frame or after a second; a kill loses at most one fragment.
MP4_OPTIONS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": "1000000",
    "flush_packets": "1",
    "video_track_timescale": "90000",
}
BACKLOG = 64 * 1024 * 1024  # bytes that may wait to be written
DEFAULT_RATE = Fraction(25)
MIN_RATE, MAX_RATE = Fraction(1, 60), Fraction(240)  # plausible frames per second of a stream
NO_TIMESTAMPS = 0x80  # libav's AVFMT_NOTIMESTAMPS (MJPEG over HTTP, raw H.264): libav makes the timestamps up
MAX_LEADING_SECONDS = 1.0  # how long before its key frame a leading picture may be shown
CLOSE_SECONDS = 2.0

ClipDone = Callable[[float, int, str], None]


@dataclass(frozen=True)
class Footage:
    """The parameters of a stream's packets, independent of its connection.

    `template` is a copy of the stream's parameters; None after a change of the picture size: then the parameters come
    from the next key frame. `stamped`: the format has timestamps.
    """

    codec: str
    width: int
    height: int
    rate: Fraction
    extradata: bytes | None = field(repr=False)
    template: Stream | None = field(repr=False, compare=False)
    stamped: bool = True

    def with_size(self, width: int, height: int) -> Footage:
        """The same with the size that the decoder reports."""
        if (width, height) == (self.width, self.height):
            return self
        return replace(self, width=width, height=height, extradata=None, template=None)


def footage_of(stream: VideoStream) -> Footage:
    """The footage of a stream; call it in the thread that reads the stream."""
    context = stream.codec_context
    try:
        template = av.open(io.BytesIO(), mode="w", format="mp4").add_stream_from_template(stream, opaque=True)
    except (ValueError, av.error.FFmpegError):  # an MP4 cannot hold it: the clip will fail with the reason
        template = None
    rates = (stream.guessed_rate, stream.average_rate)  # derived from timestamps, so as wrong as those
    slow = all(rate and 0 < rate < MIN_RATE for rate in rates)  # a time-lapse, when both agree
    rate = next((rate for rate in rates if rate and MIN_RATE <= rate <= MAX_RATE), MIN_RATE if slow else DEFAULT_RATE)
    usable = template if context.extradata and context.width else None
    stamped = not stream.container.format.flags & NO_TIMESTAMPS
    return Footage(context.name, context.width, context.height, rate, context.extradata, usable, stamped)


class ClipWriter:
    """Writes one clip in a thread of its own. `write` never blocks, and works before `start`.

    The thread calls `on_done(seconds, bytes, why)` once; `why` is not empty when the clip failed.
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
        self._first_shown_at: float | None = None  # of the first key frame, in seconds of its clock
        self._first_dts: int | None = None
        self.newest: TimedPacket | None = None
        for packet in packets:
            self.write(packet)

    def start(self, path: Path, on_done: ClipDone) -> None:
        thread = threading.Thread(target=self._run, args=(path, on_done), name=f"clip-{path.stem}", daemon=True)
        thread.start()
        self._thread = thread  # only now: `join` needs a started thread

    def write(self, timed: TimedPacket) -> None:
        """Add a packet; packets before the first key frame are dropped. Too large a backlog fails the clip."""
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
        """End the clip; with `why` it counts as failed."""
        with self._ready:
            self._finished = True
            if why:
                self._fail(why)
            self._ready.notify()

    def join(self, seconds: float) -> bool:
        """Wait up to `seconds` for the file to be closed; returns whether it is."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def _is_leading(self, packet: VideoPacket) -> bool:
        """Whether it is shown before the first key frame, and so depends on pictures outside the clip."""
        first_shown_at, shown_at = self._first_shown_at, _shown_at(packet)
        if first_shown_at is None or shown_at is None or shown_at == first_shown_at:
            return False
        # An earlier decoding time means that the camera's clock was set back.
        later = self._first_dts is None or packet.dts is None or packet.dts > self._first_dts
        if later and 0 < first_shown_at - shown_at < MAX_LEADING_SECONDS and not packet.is_keyframe:
            return True
        self._first_shown_at = None  # leading pictures come directly after their key frame
        return False

    def _fail(self, why: str) -> None:
        self._why = self._why or why
        self._finished = True
        self._waiting.clear()
        self._size = 0

    def _run(self, path: Path, on_done: ClipDone) -> None:
        size = 0
        try:
            # Opened by Python: PyAV holds the interpreter lock while it opens and closes a file, so a disk that hangs
            # would block every thread.
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
            with contextlib.suppress(OSError):  # a disk that refuses writes may have no file to remove
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
                    continue  # damaged in transit: the rest of the clip is kept

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
    """Playing time of a clip file in seconds; 0 when it has no picture."""
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
    if footage.codec == "hevc" and stream.codec_context is not None:  # missing without parameters
        stream.codec_context.codec_tag = "hvc1"  # Apple's players cannot play libav's default, hev1
    return stream


def _explain_failure(error: Exception, footage: Footage) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"an MP4 file cannot hold {footage.codec} as the camera sends it"
