"""A camera's reader thread: connects, decodes, and reconnects after every failure."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from av.error import FFmpegError
from av.video.frame import VideoFrame

from core.api_schema import CameraState, Transport
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.connecting import AnyConnection, connect
from core.inference.cameras.connection_state import ConnectionState, ConnectionStateMachine
from core.inference.cameras.decoder import Pacer
from core.inference.cameras.failures import (
    LOGIN_RETRY_NOTE,
    REFUSED_LOGIN,
    Cause,
    Failure,
    NoFrames,
    StreamEnded,
    classify,
)
from core.inference.cameras.frames import ClockRate, CpuMeter, Frame, RateMeter, StallTimeout
from core.inference.cameras.login_backoff import LoginBackoff
from core.inference.cameras.open_source import opening_limit
from core.inference.cameras.recorder import ClipRecorder
from core.inference.cameras.snapshots import SnapshotConnection
from core.inference.cameras.source_address import SourceAddress
from core.inference.events.clip_timestamps import VideoPacket

logger = logging.getLogger(__name__)

WATCH_GRACE = 0.25  # seconds beyond the time-out, for a frame on its way
LOGIN_POLL_SECONDS = 0.5  # how often a waiting login is checked: a user may ask for an immediate attempt
WAITING_NOTE_SECONDS = 2.0  # without a picture before the status says what the camera waits for
STOP_SECONDS = 2.0  # how long a stop waits; a reader that hangs in libav ends after its time-outs


@dataclass(frozen=True)
class SourceStatus:
    """The state and the measurements of a source; None where not measured yet."""

    connection: ConnectionState
    width: int
    height: int
    codec: str
    fps: float
    frames: int
    damaged: int
    age: float | None  # seconds since the newest frame
    load: float | None  # CPU seconds a second for reading and decoding
    cost: float | None  # CPU seconds a frame
    clock_rate: float | None  # seconds that the camera's clock counts in a real second


class _Stale(Exception):
    """The reader's generation is over."""


class _PlayedOnce(Exception):
    """A file that is played once came to its end."""


class CameraSource:
    """Reads one camera in its own thread and passes every undamaged frame to `deliver`, which must not block.

    Packets go to `recorder` before they are decoded. Without `loop` the source stops at the end of a file.
    """

    def __init__(
        self,
        name: str,
        address: SourceAddress,
        deliver: Callable[[Frame], None],
        recorder: ClipRecorder,
        *,
        timeout: float = 5.0,
        transport: Transport = Transport.TCP,
        loop: bool = True,
        poll_interval: float = 1.0,
        backoff: Backoff | None = None,
        login_backoff: LoginBackoff | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self._deliver = deliver
        self._recorder = recorder
        self._timeout = timeout
        self._transport = transport
        self._loop = loop
        self._poll_interval = poll_interval
        self._state = ConnectionStateMachine(backoff or Backoff())
        self._login_backoff = login_backoff or LoginBackoff()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._rate_meter = RateMeter()
        self._cpu_meter = CpuMeter()
        self._clock_rate = ClockRate()
        self._stall_timeout = StallTimeout(timeout)
        self._size = (0, 0)
        self._codec = ""
        self._frames = 0
        self._damaged = 0
        self._frame_arrived: float | None = None  # the newest frame, monotonic
        self._packet_arrived: float | None = None  # the newest packet
        self._normal_gap = 0.0  # seconds between frames that are normal for this kind of source

    def start(self) -> None:
        """Begin reading; does nothing when already started."""
        generation = self._state.start()
        if generation is None:
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(generation, self._stop), name=f"camera-{self.name}", daemon=True
        )
        self._thread.start()

    def signal_stop(self) -> None:
        """Become STOPPED without waiting for the reader."""
        self._state.stop()
        self._stop.set()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Stop from any state. A hanging reader is abandoned and ends after its time-outs."""
        self.signal_stop()
        if self._thread is not None:
            self._thread.join(seconds)

    @property
    def ended(self) -> bool:
        """Whether the reader thread has ended."""
        return self._thread is None or not self._thread.is_alive()

    def watch(self) -> None:
        """Detect stalls that a reader waiting inside libav cannot report. To be called a few times a second."""
        observed, now = self._state.current, time.monotonic()
        newest = max(self._packet_arrived or 0.0, observed.entered)
        hanging = opening_limit(self.address, self._timeout) + self._timeout + WATCH_GRACE
        if observed.state is CameraState.CONNECTING and now - newest > hanging:
            self._state.stalled(observed, Failure(Cause.TIMEOUT, "connecting hangs"))
        longest = max(self._normal_gap, self._stall_timeout.limit)
        newest = max(self._frame_arrived or 0.0, observed.entered)
        if observed.state is CameraState.LIVE and now - newest > longest + WATCH_GRACE:
            self._stall_timeout.stalled()
            self._state.stalled(observed, Failure(Cause.TIMEOUT, f"no frame within {longest:g} s"))

    def status(self) -> SourceStatus:
        connection = self._state.current
        fps = self._rate_meter.value() if connection.state is CameraState.LIVE else 0.0
        age = None if self._frame_arrived is None else time.monotonic() - self._frame_arrived
        load, cost = self._cpu_meter.values() or (None, None)
        rate, counts = self._clock_rate.value(), (self._frames, self._damaged)
        return SourceStatus(connection, *self._size, self._codec, fps, *counts, age, load, cost, rate)

    def _run(self, generation: int, stop: threading.Event) -> None:
        reported: tuple[Failure, int] | None = None
        while self._may_log_in(generation, stop):
            failure = self._attempt(generation, stop)
            delay = self._state.failed(generation, failure) if failure else None
            if failure is None or delay is None:
                return
            login = failure.reason.endswith(LOGIN_RETRY_NOTE)  # waits together with the host's other cameras
            delay = self._login_backoff.wait(self.address)[0] if login else delay
            report = (failure, self._state.current.connections)
            level = logging.DEBUG if report == reported else logging.WARNING  # logged once, not for days
            logger.log(level, "camera %s: %s; next attempt in %g s", self.name, failure.reason, delay)
            reported = report
            if not login and stop.wait(delay):
                return

    def _may_log_in(self, generation: int, stop: threading.Event) -> bool:
        """Wait until the login may be tried, then become CONNECTING. Returns False when the generation is over."""
        while (wait := self._login_backoff.wait(self.address))[0]:
            seconds, refused = wait
            if refused:
                self._state.postpone(generation, Failure(Cause.AUTH, REFUSED_LOGIN), seconds)
            if stop.wait(min(seconds, LOGIN_POLL_SECONDS)):
                return False
        return not stop.is_set() and (
            self._state.current.state is CameraState.CONNECTING or self._state.retry(generation)
        )

    def _attempt(self, generation: int, stop: threading.Event) -> Failure | None:
        """Connect and read until failure; None when the generation is over."""
        opening, began = True, time.monotonic()
        try:
            connection = self._connect(stop)
            opening, began = False, time.monotonic()
            self._read(connection, generation, stop)
        except _Stale:
            return None
        except _PlayedOnce:
            self._state.finish(generation, Failure(Cause.END, "the file was played to its end"))
            return None
        except Exception as error:
            elapsed = time.monotonic() - began
            limit = self._timeout if opening else max(self._normal_gap, self._stall_timeout.limit)
            failure = classify(error, self.address, opening=opening, elapsed=elapsed, timeout=limit)
            failure = self._note_login(failure)
            if not isinstance(error, FFmpegError) and failure.cause is Cause.ERROR:
                logger.exception("camera %s: a fault in reading", self.name)
            if failure.cause is Cause.TIMEOUT and self._state.current.state is CameraState.LIVE:
                self._stall_timeout.stalled()
            return failure
        finally:
            self._recorder.disconnected()

    def _note_login(self, failure: Failure) -> Failure:
        """Report what the failure says about the login; a refused login adds why attempts are minutes apart."""
        if failure.cause is not Cause.AUTH:
            self._login_backoff.inconclusive(self.address)
            return failure
        self._login_backoff.refused(self.address)
        waits = self._login_backoff.wait(self.address)[1]
        return Failure(Cause.AUTH, f"{failure.reason}; {LOGIN_RETRY_NOTE}") if waits else failure

    def _connect(self, stop: threading.Event) -> AnyConnection:
        silence = self._stall_timeout.limit if self.address.live else self._timeout
        connection = connect(
            self.address, self._timeout, self._transport, stop, silence=silence, poll_interval=self._poll_interval
        )
        self._login_backoff.accepted(self.address)
        self._codec, self._normal_gap = connection.codec, connection.silence
        return connection

    def _read(self, connection: AnyConnection, generation: int, stop: threading.Event) -> NoReturn:
        pacer = None if connection.pace is None else Pacer(stop, connection.pace)
        self._clock_rate, self._cpu_meter = ClockRate(), CpuMeter()
        self._stall_timeout.connected()
        try:
            while True:
                before, began = self._frames, time.monotonic()
                self._recorder.connected(connection.footage)
                try:
                    for packet in connection.packets():
                        self._take(packet, connection, generation, pacer)
                except StreamEnded:
                    if pacer is None or self._frames == before:
                        raise
                if pacer is None:
                    raise _Stale  # stopped between two pictures
                if not self._loop:
                    raise _PlayedOnce
                connection.close()  # a file is played again from its beginning
                if not pacer.wait_before_replay(began):
                    raise _Stale
                connection = self._connect(stop)
        finally:
            connection.close()

    def _take(self, packet: VideoPacket, connection: AnyConnection, generation: int, pacer: Pacer | None) -> None:
        if not self._state.is_current(generation):
            raise _Stale
        arrived = self._packet_arrived = time.monotonic()
        if pacer is None:
            self._recorder.keep(packet, arrived)
        images = connection.decode(packet)
        if pacer is not None:  # a file's packet counts as arrived when its picture is due
            if images and not pacer.wait(images[0]):
                raise _Stale
            arrived = time.monotonic()
            self._recorder.keep(packet, arrived)
        self._damaged, connection.damaged = self._damaged + connection.damaged, 0
        size = (images[0].width, images[0].height) if images else None
        self._recorder.decoded(arrived, size)
        if not images:
            self._report_waiting(connection, generation)
        for number, image in enumerate(images):
            if number and pacer is not None and not pacer.wait(image):
                raise _Stale
            self._accept(image, arrived if pacer is None else time.monotonic(), generation, connection)

    def _report_waiting(self, connection: AnyConnection, generation: int) -> None:
        """Packets arrive, but no picture yet: report what the camera waits for."""
        waiting = connection.waiting_for
        if waiting is not None and time.monotonic() - self._state.current.entered > WAITING_NOTE_SECONDS:
            self._state.note_waiting(generation, waiting)

    def _accept(self, image: VideoFrame, arrived: float, generation: int, connection: AnyConnection) -> None:
        state = self._state.current
        if not self._state.is_current(generation):
            raise _Stale
        if state.state is CameraState.CONNECTING:
            self._rate_meter = RateMeter()
            if self._state.connected(generation):
                logger.info("camera %s: live, %s", self.name, self._codec)
        elif state.state is not CameraState.LIVE:
            raise NoFrames  # `watch` gave up this connection; make a new one
        self._frame_arrived = arrived
        self._stall_timeout.mark(arrived)
        snapshot = isinstance(connection, SnapshotConnection)  # which has no clock of its own
        if self.address.live and connection.footage.stamped and not snapshot:
            self._clock_rate.mark(image.time, arrived)
        trusted, image = connection.is_trusted(image), connection.upright(image)
        self._size = (image.width, image.height)
        self._frames += 1
        self._rate_meter.tick()
        self._cpu_meter.mark(arrived, self._frames)
        if trusted:  # a smeared picture would look like an anomaly
            self._deliver(Frame(image, arrived, self._state.current.connections, snapshot))
