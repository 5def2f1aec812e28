"""Encodes films to H.264 once, and packs the pictures into one endless MPEG-TS for each client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from core.demo.cameras.canvas import HEIGHT, WIDTH
from core.demo.cameras.film import FPS, Film

KEY_INTERVAL = 15  # pictures: clips and new connections begin with a key picture
_TICKS = 90_000  # of MPEG-TS, a second
_CODEC = "libx264"
_OPTIONS = {
    "preset": "superfast",
    "tune": "zerolatency",  # each picture is encoded at once, and refers only to earlier ones
    "qp": "23",  # constant: equal pictures stay equal
    "forced-idr": "1",
    "threads": "1",
}


class EncodedPicture(NamedTuple):
    """One picture of a film as H.264."""

    data: bytes
    key: bool


class EncodedFilm:
    """A film whose pictures are drawn and encoded when they are first wanted. Thread-safe.

    It begins with a key picture, so any film may follow any other. `all_key`: each picture is one, and therefore
    decodes to exactly the same pixels every time.
    """

    def __init__(self, film: Film, *, all_key: bool = False) -> None:
        self._film = film
        self._key_interval = 1 if all_key else KEY_INTERVAL
        self._pictures: list[EncodedPicture] = []
        self._encoder: VideoCodecContext | None = None
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[EncodedPicture]:
        """The pictures from the first to the last."""
        for number in range(self._film.pictures):
            with self._lock:
                if number == len(self._pictures):
                    self._encode_next()
            yield self._pictures[number]

    def _encode_next(self) -> None:
        encoder = self._encoder = self._encoder or _open_encoder()
        number = len(self._pictures)
        frame = VideoFrame.from_ndarray(self._film.draw(number), format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        key = number % self._key_interval == 0
        frame.pict_type = av.video.frame.PictureType.I if key else av.video.frame.PictureType.NONE
        data = b"".join(bytes(packet) for packet in encoder.encode(frame))
        self._pictures.append(EncodedPicture(data, key))
        if len(self._pictures) == self._film.pictures:
            self._encoder = None  # it takes some megabytes


class TransportStream:
    """An endless MPEG-TS of one client; pictures go in, and what is to be sent comes out."""

    def __init__(self) -> None:
        self._sent = _Outlet()
        self._container = av.open(self._sent, "w", format="mpegts", options={"flush_packets": "1"})
        self._stream = self._container.add_mux_stream("h264", FPS, width=WIDTH, height=HEIGHT)

    def pack(self, picture: EncodedPicture, at: float) -> bytes:
        """A picture as MPEG-TS with the time stamp `at`: seconds, later than that of the picture before."""
        packet = Packet(picture.data)
        packet.stream = self._stream
        packet.time_base = Fraction(1, _TICKS)
        packet.pts = packet.dts = round(at * _TICKS)
        packet.is_keyframe = picture.key
        self._container.mux_one(packet)
        return self._sent.take()


class _Outlet:
    """The file that the muxer writes to."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        """What was written since the last call."""
        data = bytes(self._data)
        self._data.clear()
        return data


def _open_encoder() -> VideoCodecContext:
    encoder = av.CodecContext.create(_CODEC, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(FPS), Fraction(1, FPS)
    encoder.gop_size = 10 * KEY_INTERVAL  # key pictures are asked for
    encoder.options = dict(_OPTIONS)
    return encoder
