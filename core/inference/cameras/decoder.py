"""One connection to one source through PyAV: frames until it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame

from core.inference.cameras.address import Address
from core.inference.cameras.failures import NoFrames, NoVideo, StreamEnded

ANALYSE_MICROSECONDS = 500_000  # libav's own 5 s delay every first frame; RTSP says what is in the stream beforehand
LONGEST_GAP = 2.0  # seconds between two frames of a file beyond which its clock is taken as having jumped
DEFAULT_GAP = 0.04  # seconds, for a file whose frames carry no time


class Connection:
    """An open source. Open, read and close it in one thread.

    Raises what `failures.classify` knows, while opening and from `frames()`, which never ends otherwise.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self._timeout = timeout
        self._container = _open(address, timeout)
        self.damaged = 0
        self.codec = ""
        try:
            if not self._container.streams.video:
                raise NoVideo
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "NONE"  # frame threads add latency; a thread a camera is parallel enough
            self.codec = self._stream.codec_context.name
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the source."""
        self._container.close()

    def frames(self) -> Iterator[VideoFrame]:
        """Every frame that can be decoded. A packet that cannot is counted in `damaged`."""
        newest = time.monotonic()
        for packet in self._container.demux(self._stream):
            try:
                decoded = packet.decode()
            except av.error.InvalidDataError:
                self.damaged += 1
                decoded = []
            for frame in decoded:
                yield frame
                newest = time.monotonic()
            if time.monotonic() - newest > self._timeout:
                raise NoFrames
        raise StreamEnded


def _open(address: Address, timeout: float) -> InputContainer:
    if not address.live:
        return av.open(address.url, mode="r", options={"protocol_whitelist": "file"})
    options = {
        "rtsp_transport": "tcp",
        "allowed_media_types": "video",
        "timeout": str(
            int(timeout * 1e6)
        ),  # bounds each wait for the network; without it a stalled camera blocks for ever
        "analyzeduration": str(ANALYSE_MICROSECONDS),
    }
    # PyAV's own limit bounds opening as a whole, against a camera that answers in drops.
    return av.open(address.url, mode="r", options=options, timeout=(timeout, None))


class Pacer:
    """Holds back a file's frames so that they come at their own speed."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._shift: float | None = None  # monotonic time less the frame's own
        self._previous = 0.0

    def wait(self, frame: VideoFrame) -> bool:
        """Wait until the frame is due; False when stopped in the meantime."""
        now = time.monotonic()
        due = self._previous + DEFAULT_GAP if frame.time is None else (self._shift or 0.0) + frame.time
        if self._shift is None or abs(due - now) > LONGEST_GAP:
            self._shift = now - (frame.time or 0.0)
            due = now
        self._previous = due
        return not self._stop.wait(max(0.0, due - now))
