"""The connection test: one attempt to connect, before a camera is added."""

from __future__ import annotations

import threading
import time

from av.error import ExitError
from av.video.frame import VideoFrame

from core.api_schema import CameraRequest, ConnectionTest
from core.inference.cameras.connecting import AnyConnection, connect
from core.inference.cameras.failures import NoFrames, StreamEnded, classify
from core.inference.cameras.snapshots import SnapshotConnection
from core.inference.cameras.source_address import parse_source

MEASURE_SECONDS = 1.0  # of frames, to measure their rate
BUFFERED_SECONDS = 0.25  # after the first frame, in which the frames buffered while opening are decoded in one burst


def run_connection_test(request: CameraRequest) -> ConnectionTest:
    """Connect, wait for the first frame and measure. Takes at most a little over twice the camera's time-out.

    Raises InputError for an invalid source.
    """
    address = parse_source(request.source)
    began = time.monotonic()
    opening = True
    try:
        connection = connect(
            address,
            request.timeout,
            request.transport,
            threading.Event(),
            silence=request.timeout,
            poll_interval=request.poll_interval,
            key_frame_timeout=request.timeout,
        )
        opening = False
        try:
            return _measure_stream(connection, began)
        finally:
            connection.close()
    except Exception as error:
        elapsed = time.monotonic() - began
        failure = classify(error, address, opening=opening, elapsed=elapsed, timeout=request.timeout)
        return ConnectionTest(ok=False, cause=failure.cause.value, reason=failure.reason, seconds=round(elapsed, 2))


def _measure_stream(connection: AnyConnection, began: float) -> ConnectionTest:
    stamps: list[float] = []
    width = height = 0
    first: float | None = None
    try:
        for packet in connection.packets():
            for image in connection.decode(packet):
                first = first or time.monotonic()
                if isinstance(connection, SnapshotConnection):
                    return _snapshot_result(connection, image, first - began)
                upright = connection.upright(image)
                width, height = upright.width, upright.height
                now = time.monotonic()
                if connection.live:  # measured by arrival: a camera's clock may be wrong
                    stamps += [now] if now - first > BUFFERED_SECONDS else []
                elif image.time is not None:
                    stamps.append(image.time)
            if first is not None and time.monotonic() - first > BUFFERED_SECONDS + MEASURE_SECONDS:
                break
            if len(stamps) > 1 and stamps[-1] - stamps[0] > MEASURE_SECONDS:
                break  # a file is read faster than it plays
    except (StreamEnded, NoFrames, TimeoutError, ExitError):
        if first is None:  # otherwise the camera works, but slowly
            raise
    span = stamps[-1] - stamps[0] if len(stamps) > 1 else 0.0
    return ConnectionTest(
        ok=True,
        width=width,
        height=height,
        codec=connection.codec,
        fps=round((len(stamps) - 1) / span, 2) if span > 0 else 0,
        seconds=round((first or began) - began, 2),
    )


def _snapshot_result(connection: SnapshotConnection, image: VideoFrame, seconds: float) -> ConnectionTest:
    upright = connection.upright(image)
    return ConnectionTest(
        ok=True,
        snapshot=True,
        width=upright.width,
        height=upright.height,
        codec=connection.codec,
        seconds=round(seconds, 2),
    )
