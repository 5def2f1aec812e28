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
from typing import TypeAlias

import av
import av.error
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

# Each fragment stands for itself: a key frame or a second, whichever comes first, is all that a kill can take.
OPTIONS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof",
    "frag_duration": "1000000",
    "flush_packets": "1",
    "video_track_timescale": "90000",
}
BACKLOG = 64 * 1024 * 1024  # bytes that may wait for the disk
DEFAULT_RATE = Fraction(25)
SLOWEST, FASTEST = Fraction(1, 10), Fraction(240)  # frames a second that a stream may say of itself
LONGEST_JUMP = Fraction(10)  # seconds: more between two packets is a camera's clock that was set
TICKS = Fraction(1, 90000)  # the clip's own unit of time, seconds; as in OPTIONS
CLOSE_SECONDS = 2.0

VideoPacket: TypeAlias = "Packet[VideoStream]"
Done = Callable[[float, int, str], None]


@dataclass(frozen=True)
class Footage:
    """What packets of one stream are, independent of the connection they come from.

    `template` is a copy of the stream's parameters; None when the picture's size changed on the way, and the parameters
    are taken from the next key frame.
    """

    codec: str
    width: int
    height: int
    rate: Fraction
    extradata: bytes | None = field(repr=False)
    template: Stream | None = field(repr=False, compare=False)

    def sized(self, width: int, height: int) -> Footage:
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
    rate = next((rate for rate in rates if rate and SLOWEST <= rate <= FASTEST), DEFAULT_RATE)
    usable = template if context.extradata and context.width else None
    return Footage(context.name, context.width, context.height, rate, context.extradata, usable)


class ClipWriter:
    """Writes one clip in a thread of its own. `write` never waits; packets collect from the beginning on.

    `done(seconds, bytes, why)` is called once, from that thread; `why` is not empty when the clip failed.
    """

    def __init__(self, footage: Footage, packets: Iterable[VideoPacket], backlog: int = BACKLOG) -> None:
        self.footage = footage
        self._waiting: deque[VideoPacket] = deque()
        self._size = 0
        self._backlog = backlog
        self._ready = threading.Condition()
        self._finished = False
        self._why = ""
        self._times = _Times(footage.rate)
        self._thread: threading.Thread | None = None
        self.newest: VideoPacket | None = None
        for packet in packets:
            self.write(packet)

    def start(self, path: Path, done: Done) -> None:
        """Begin writing to `path`, in place of what is there."""
        thread = threading.Thread(target=self._run, args=(path, done), name=f"clip-{path.stem}", daemon=True)
        thread.start()
        self._thread = thread  # whoever joins it finds it started

    def write(self, packet: VideoPacket) -> None:
        """One more packet; a clip begins with a key frame. Too many that wait for the disk fail the clip."""
        with self._ready:
            if self._finished or not packet.size or (self.newest is None and not packet.is_keyframe):
                return
            self.newest = packet
            self._waiting.append(packet)
            self._size += packet.size
            if self._size > self._backlog:
                self._fail(f"the disk is too slow: {self._size // 2**20} MiB waited for it")
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

    def _fail(self, why: str) -> None:
        self._why = self._why or why
        self._finished = True
        self._waiting.clear()
        self._size = 0

    def _run(self, path: Path, done: Done) -> None:
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
            self.finish(_reason(error, self.footage))
        except Exception:
            logger.exception("clip %s", path.name)
            self.finish("writing failed; the log says more")
        seconds = float(self._times.length)
        if not seconds:
            with contextlib.suppress(OSError):  # on a disk that cannot be written there may be none to remove
                path.unlink()
        why = self._why or ("" if seconds else "no key frame came")
        if why:
            logger.warning("clip %s failed: %s", path.name, why)
        done(seconds, size, why)

    def _record(self, file: io.RawIOBase) -> None:
        with av.open(file, mode="w", format="mp4", options=OPTIONS) as container:
            stream = _add_stream(container, self.footage)
            while (packet := self._next()) is not None:
                self._times.stamp(packet, copy := Packet(packet))  # type: ignore[arg-type]  # anything with a buffer
                copy.stream = stream
                copy.is_keyframe = packet.is_keyframe
                try:
                    container.mux(copy)
                except av.error.InvalidDataError:
                    continue  # damaged on the way to us: what else came is kept

    def _next(self) -> VideoPacket | None:
        with self._ready:
            self._ready.wait_for(lambda: self._waiting or self._finished)
            if not self._waiting:
                return None
            packet = self._waiting.popleft()
            self._size -= packet.size
            return packet


class _Times:
    """Gives packets times that only grow, from 0, whatever a camera's clock does; some packets carry none at all."""

    def __init__(self, rate: Fraction) -> None:
        self._step = max(1, round(1 / rate / TICKS))
        self._shift: int | None = None
        self._newest: int | None = None

    @property
    def length(self) -> Fraction:
        """Seconds of what was stamped."""
        return Fraction(0) if self._newest is None else (self._newest + self._step) * TICKS

    def stamp(self, packet: VideoPacket, copy: VideoPacket) -> None:
        """Set the times of `copy` after those of `packet`."""
        unit = Fraction(packet.time_base) / TICKS if packet.time_base else Fraction(1)
        decode = packet.dts if packet.dts is not None else packet.pts
        at = self._next() if decode is None else self._placed(round(decode * unit))
        late = 0 if packet.pts is None or packet.dts is None else round((packet.pts - packet.dts) * unit)
        copy.time_base = TICKS
        copy.dts, copy.pts = at, at + max(0, late)
        self._newest = at

    def _next(self) -> int:
        return 0 if self._newest is None else self._newest + self._step

    def _placed(self, stamp: int) -> int:
        expected = self._next()
        jumped = self._shift is not None and abs(stamp - self._shift - expected) * TICKS > LONGEST_JUMP
        if self._shift is None or jumped:
            self._shift = stamp - expected
        at = stamp - self._shift
        return at if self._newest is None else max(at, self._newest + 1)


def _add_stream(container: OutputContainer, footage: Footage) -> Stream:
    if footage.template is not None:
        return container.add_stream_from_template(footage.template, opaque=True)
    return container.add_mux_stream(footage.codec, footage.rate, width=footage.width, height=footage.height)


def _reason(error: Exception, footage: Footage) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"an MP4 file cannot hold {footage.codec} as the camera sends it"
