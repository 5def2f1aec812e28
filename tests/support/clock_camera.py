"""Cameras over HTTP that send frames at a real pace and stamp them as a test wants."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

import av
from av.packet import Packet
from av.video.stream import VideoStream

from core.inference.events.clip_timestamps import VideoPacket
from core.inference.events.clips import Footage, footage_of

Stamp = Callable[[int], float]  # the seconds that frame number so-and-so claims
TICKS = 90000
BASE = 10.0  # seconds, so that a clock can be set back


def ident(name: str) -> str:
    """The name of a stream as a camera's id."""
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def packets_of(path: Path) -> tuple[Footage, list[VideoPacket]]:
    """The packets of a video file, and what they are."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return footage_of(stream), [packet for packet in container.demux(stream) if packet.size]


def mpeg_ts(clip: Path, stamp: Stamp) -> Iterator[bytes]:
    """The frames of an H.264 clip, again and again, each as the MPEG-TS that a camera with that clock sends."""
    counters: dict[int, int] = {}
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        number = 0
        while True:
            for packet in packets:
                yield _counted(_muxed(stream, packet, stamp(number)), counters)
                number += 1


def bare_h264(clip: Path, stamp: Stamp) -> Iterator[bytes]:
    """The frames of an H.264 clip, again and again, as a byte stream that has no stamps."""
    to_bytes = av.BitStreamFilterContext("h264_mp4toannexb", av.open(str(clip)).streams.video[0])
    while True:
        with av.open(str(clip)) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size:
                    yield b"".join(bytes(part) for part in to_bytes.filter(packet))


def mjpeg(clip: Path, stamp: Stamp) -> Iterator[bytes]:
    """The frames of a clip, again and again, as the JPEG files of a multipart answer, which has no stamps."""
    while True:
        with av.open(str(clip)) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size:
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {packet.size}\r\n\r\n"
                    yield head.encode() + bytes(packet) + b"\r\n"


def bare_jpegs(clip: Path) -> Iterator[bytes]:
    """The frames of a clip, again and again, as JPEG files one behind the other."""
    while True:
        with av.open(str(clip)) as container:
            yield from (bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size)


def _muxed(stream: VideoStream, packet: Packet[VideoStream], stamp: float) -> bytes:
    """One frame as a transport stream of its own: a muxer takes no stamps that stand still or go back."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as output:
        copy = Packet(bytes(packet))
        copy.stream = output.add_stream_from_template(stream)
        copy.time_base = Fraction(1, TICKS)
        copy.pts = copy.dts = round((BASE + stamp) * TICKS)
        copy.is_keyframe = packet.is_keyframe
        output.mux(copy)
    return file.getvalue()


def _counted(data: bytes, counters: dict[int, int]) -> bytes:
    """The same with the continuity counters of one long stream."""
    out = bytearray(data)
    for at in range(0, len(out), 188):
        identity = (out[at + 1] & 0x1F) << 8 | out[at + 2]
        if out[at + 3] & 0x10:  # it carries a payload
            counters[identity] = (counters.get(identity, -1) + 1) % 16
        out[at + 3] = out[at + 3] & 0xF0 | counters.get(identity, 0)
    return bytes(out)


class ClockCamera:
    """A server on loopback: `/NAME` sends one part every `period` seconds; `callers[NAME]` counts connections."""

    def __init__(self, streams: dict[str, Callable[[], Iterator[bytes]]], period: float) -> None:
        self.callers = dict.fromkeys(streams, 0)
        self.sent = dict.fromkeys(streams, 0)
        self._over = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path[1:]
                camera.callers[name] += 1
                self.send_response(200)
                kinds = {"mjpeg": "multipart/x-mixed-replace;boundary=frame", "jpeg": "image/jpeg", "": "video/mp2t"}
                self.send_header("Content-Type", next(kinds[part] for part in kinds if part in name))
                self.end_headers()
                try:
                    due = time.monotonic()
                    for part in streams[name]():
                        self.wfile.write(part)
                        self.wfile.flush()
                        camera.sent[name] += 1
                        due += period  # a machine under load makes no camera slower than its clock
                        if camera._over.wait(max(0.0, due - time.monotonic())):
                            return
                except OSError:
                    pass

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    def __enter__(self) -> ClockCamera:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self, name: str) -> str:
        """The address of one stream."""
        return f"http://127.0.0.1:{self._server.server_port}/{name}"
