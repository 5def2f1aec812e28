"""Snapshot cameras: an address that answers with one picture (image/jpeg), asked for the next one at a set rate."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import av.error
import httpx
from av.packet import Packet
from av.video.frame import VideoFrame

from core.inference.cameras.decoder import MAX_DAMAGED_SECONDS
from core.inference.cameras.diagnosis import content_type_failure, status_failure
from core.inference.cameras.failures import Cause, SourceError
from core.inference.cameras.orientation import Upright
from core.inference.cameras.source_address import SourceAddress
from core.inference.cameras.web_client import MAX_ANSWER_BYTES, TooLarge, WebClient, root_cause
from core.inference.events.clip_timestamps import VideoPacket
from core.inference.events.clips import footage_of

PICTURE_FORMATS = ("image2", "_pipe", "gif")  # how libav names what it takes for one picture: jpeg_pipe, png_pipe, …
JPEG_FORMATS = ("jpeg_pipe", "mjpeg")  # one picture, or many, one behind the other
TRANSIENT_CAUSES = (Cause.ERROR, Cause.CODEC, Cause.NOT_FOUND, Cause.REJECTED)  # may be over with the next picture
MILLISECOND = Fraction(1, 1000)
NO_PICTURE = "the address answers with a picture that cannot be decoded"
TOLERATED_TIMEOUTS = 2  # time-outs without a picture, after which the camera counts as lost; one request may fail


def is_truncated(picture: bytes) -> bool:
    """Whether the end of a JPEG is missing, which libav fills with grey; what lies behind an end is no part of it."""
    return picture[:2] == b"\xff\xd8" and picture.rfind(b"\xff\xd9") < picture.rfind(b"\xff\xda")


def is_picture(format_name: str) -> bool:
    """Whether libav found a single picture, by the name of its format."""
    return format_name.endswith(PICTURE_FORMATS)


class SnapshotConnection:
    """Asks for pictures over one connection that is kept open; in place of a `Connection`, and raises the same.

    A picture that did not change (status 304, or the same bytes) is shown again without being decoded.
    """

    live, pace, waiting_for = True, None, None

    def __init__(
        self, address: SourceAddress, addresses: Sequence[str], timeout: float, interval: float, stop: threading.Event
    ) -> None:
        self.silence = interval + TOLERATED_TIMEOUTS * timeout
        self.damaged = 0
        self.upright = Upright()
        self._interval = interval
        self._stop = stop
        self._conditional_headers: dict[str, str] = {}  # headers that ask for a picture only if it is another one
        self._digest = b""
        self._truncated = False
        self._last_whole = time.monotonic()  # when the newest whole picture came
        self._frames: list[VideoFrame] = []
        self._web = WebClient(address.url, addresses, timeout)
        try:
            self._first()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        self._web.close()

    def packets(self) -> Iterator[VideoPacket]:
        """Every picture when it came, until the camera refuses or was silent for too long."""
        newest = due = time.monotonic()
        yield self._stamped()
        while True:
            due = max(due + self._interval, time.monotonic())  # a slow camera is asked again at once, and no sooner
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            try:
                self._ask()
            except (httpx.HTTPError, TooLarge, SourceError) as error:
                lasting = isinstance(error, SourceError) and error.failure.cause not in TRANSIENT_CAUSES
                if lasting or time.monotonic() - newest > self.silence - self._interval:
                    raise _as_source_error(error) from error
                continue
            newest = time.monotonic()
            yield self._stamped()

    def decode(self, _packet: VideoPacket) -> list[VideoFrame]:
        """The picture in the newest packet."""
        return self._frames

    def is_trusted(self, frame: VideoFrame) -> bool:
        """Whether the frame shows what the camera saw, or the camera never sends a whole picture."""
        now = time.monotonic()
        if not self._truncated and not frame.is_corrupt:
            self._last_whole = now
            return True
        return now - self._last_whole > MAX_DAMAGED_SECONDS + self._interval

    def _stamped(self) -> VideoPacket:
        """The newest picture, stamped when it came: out of a file of its own it begins at 0."""
        packet = cast("VideoPacket", Packet(bytes(self._packet)))
        packet.is_keyframe = True
        packet.time_base = MILLISECOND
        packet.pts = packet.dts = round(time.monotonic() / MILLISECOND)
        return packet

    def _first(self) -> None:
        try:
            self._ask()
        except (httpx.HTTPError, TooLarge) as error:
            raise _as_source_error(error) from error

    def _ask(self) -> None:
        """Ask for the next picture. Raises Refused, TooLarge, and errors of httpx."""
        with self._web.request(self._conditional_headers) as answer:
            picture = self._web.body(answer)  # of a refusal, too: else the connection could not be kept
            if answer.status_code == httpx.codes.NOT_MODIFIED and self._frames:
                return
            if failure := status_failure(answer):
                raise SourceError(failure.cause, failure.reason)
        digest = hashlib.sha256(picture).digest()
        if digest != self._digest:
            try:
                self._decode(picture)
            except av.error.FFmpegError as error:
                failure = content_type_failure(answer)
                raise SourceError(Cause.CODEC, failure.reason if failure else NO_PICTURE) from error
            self._digest = digest
        self._conditional_headers = {
            request_header: answer.headers[answer_header]
            for answer_header, request_header in (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since"))
            if answer_header in answer.headers
        }

    def _decode(self, picture: bytes) -> None:
        # What a camera sends must not make libav ask other addresses, as a playlist does.
        with av.open(io.BytesIO(picture), mode="r", options={"protocol_whitelist": "none"}) as container:
            if not container.streams.video:
                raise SourceError(Cause.CODEC, NO_PICTURE)
            stream = container.streams.video[0]
            footage = replace(
                footage_of(stream), rate=1 / Fraction(self._interval).limit_denominator(1000), stamped=True
            )
            packet = next(container.demux(stream))
            frames = [*packet.decode(), *stream.decode(None)]
        if not frames:
            raise SourceError(Cause.CODEC, NO_PICTURE)
        self._truncated = is_truncated(picture)
        self.damaged += self._truncated
        self.codec, self.footage, self._packet, self._frames = footage.codec, footage, packet, frames[:1]


def _as_source_error(error: Exception) -> Exception:
    if isinstance(error, SourceError):
        return error
    if isinstance(error, httpx.TimeoutException):
        return SourceError(Cause.TIMEOUT, "no picture within the time-out")
    if isinstance(error, TooLarge):
        return SourceError(
            Cause.CODEC,
            f"the address answers with more than {MAX_ANSWER_BYTES >> 20} MiB, too large for a picture",
        )
    if isinstance(error, httpx.ConnectError) and isinstance(cause := root_cause(error), OSError):
        return cause
    return SourceError(Cause.END, "the camera closed the connection before a complete picture arrived")
