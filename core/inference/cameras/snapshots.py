"""Snapshot cameras: an address that answers with one picture (image/jpeg), polled at a set interval."""

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

PICTURE_FORMATS = ("image2", "_pipe", "gif")  # ends of libav's format names for single pictures: jpeg_pipe, png_pipe, …
JPEG_FORMATS = ("jpeg_pipe", "mjpeg")  # one picture, or a sequence
TRANSIENT_CAUSES = (Cause.ERROR, Cause.CODEC, Cause.NOT_FOUND, Cause.REJECTED)  # may succeed with the next picture
MILLISECOND = Fraction(1, 1000)
NO_PICTURE = "the address answers with a picture that cannot be decoded"
TOLERATED_TIMEOUTS = 2  # without a picture before the camera counts as disconnected; one request may fail


def is_truncated(picture: bytes) -> bool:
    """Whether the end of a JPEG is missing, which libav fills with grey. Data after the end does not matter."""
    return picture[:2] == b"\xff\xd8" and picture.rfind(b"\xff\xd9") < picture.rfind(b"\xff\xda")


def is_picture(format_name: str) -> bool:
    """Whether libav's format name is that of a single picture."""
    return format_name.endswith(PICTURE_FORMATS)


class SnapshotConnection:
    """Requests pictures over one open connection. Has the interface of `Connection`, and raises the same errors.

    A picture that did not change (status 304, or the same bytes) is repeated without being decoded.
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
        self._conditional_headers: dict[str, str] = {}  # request headers
        self._digest = b""
        self._truncated = False
        self._last_whole = time.monotonic()  # when the newest complete picture arrived
        self._frames: list[VideoFrame] = []
        self._web = WebClient(address.url, addresses, timeout)
        try:
            self._first()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._web.close()

    def packets(self) -> Iterator[VideoPacket]:
        """Every picture as it arrives, until the camera refuses or is silent for too long."""
        newest = due = time.monotonic()
        yield self._stamped()
        while True:
            due = max(due + self._interval, time.monotonic())  # a slow camera is asked again immediately
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
        """The frame of the newest packet."""
        return self._frames

    def is_trusted(self, frame: VideoFrame) -> bool:
        """Whether the frame is complete, or the camera never sends a complete one."""
        now = time.monotonic()
        if not self._truncated and not frame.is_corrupt:
            self._last_whole = now
            return True
        return now - self._last_whole > MAX_DAMAGED_SECONDS + self._interval

    def _stamped(self) -> VideoPacket:
        """The newest picture as a packet, stamped with its arrival: as a file of its own it would start at 0."""
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
        """Request the next picture. Raises SourceError, TooLarge, and errors of httpx."""
        with self._web.request(self._conditional_headers) as answer:
            picture = self._web.body(answer)  # of an error, too: otherwise the connection could not stay open
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
        # The camera's answer must not make libav open other addresses, as a playlist would.
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
            Cause.CODEC, f"the address answers with more than {MAX_ANSWER_BYTES >> 20} MiB, too large for a picture"
        )
    if isinstance(error, httpx.ConnectError) and isinstance(cause := root_cause(error), OSError):
        return cause
    return SourceError(Cause.END, "the camera closed the connection before a complete picture arrived")
