"""The output buffer of the terminal. It never blocks, and it knows how much the terminal has drawn."""

from __future__ import annotations

import asyncio
import os
import select
import termios
import time
from collections import deque
from collections.abc import Callable

RECEIPT = "\x1b[5n"  # "are you well?": a terminal answers RECEIPT_ANSWER when it has drawn all that came before
RECEIPT_ANSWER = "\x1b[0n"
WINDOW_BYTES = 2048  # bytes that may be on their way unanswered while the next frame goes out: 0.25 s at 64 kbit/s
RECEIPT_SECONDS = 3.0  # seconds after which a missing receipt is forgotten: the terminal may have been replaced
_RECEIPT_FROM = 512  # bytes since the last receipt that make another worth its four
_CHUNK = 4096  # one write; a terminal's kernel buffer is of that order


class OutputBuffer:
    """Writes to a terminal's non-blocking descriptor from the event loop.

    Calls `on_ready` when everything is written and, if the terminal sends receipts, drawn. Calls `on_lost` once when
    the terminal is gone; later output is dropped.
    """

    def __init__(self, descriptor: int, on_ready: Callable[[], None], on_lost: Callable[[], None]) -> None:
        self.descriptor = descriptor
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._is_lost = False
        self._unwritten: deque[bytes] = deque()
        self._is_watched = False
        self._gives_receipts = False
        self._bytes_since_request = 0
        self._bytes_in_flight: deque[int] = deque()
        self._oldest_request_time = 0.0
        self._loop = asyncio.get_running_loop()

    @property
    def gives_receipts(self) -> bool:
        """Whether the terminal gives receipts."""
        return self._gives_receipts

    @property
    def ready(self) -> bool:
        """Whether a new frame would go out at once and be seen soon."""
        if self._unwritten or self._is_lost:
            return False
        if self._bytes_in_flight and time.monotonic() - self._oldest_request_time > RECEIPT_SECONDS:
            self._bytes_in_flight.clear()
        return sum(self._bytes_in_flight) <= WINDOW_BYTES

    def write(self, text: str) -> None:
        """Send control sequences; they keep their order with frames."""
        if self._is_lost or not text:
            return
        data = text.encode("utf-8", "replace")
        self._unwritten.extend(data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))
        self._push()

    def send_frame(self, text: str) -> None:
        """Send a frame, with a request for a receipt once the terminal has shown that it gives them."""
        self._bytes_since_request += len(text)
        if self._gives_receipts and self._bytes_since_request >= _RECEIPT_FROM:
            text += RECEIPT
            if not self._bytes_in_flight:
                self._oldest_request_time = time.monotonic()
                self._loop.call_later(RECEIPT_SECONDS + 0.1, self._report_ready)
            self._bytes_in_flight.append(self._bytes_since_request)
            self._bytes_since_request = 0
        self.write(text)

    def ask_for_receipts(self) -> None:
        """Find out whether the terminal gives receipts at all."""
        self.write(RECEIPT)

    def receipt_arrived(self) -> None:
        self._gives_receipts = True
        if self._bytes_in_flight:
            self._bytes_in_flight.popleft()
            self._oldest_request_time = time.monotonic()
        self._report_ready()

    def discard(self) -> None:
        """Drop all unwritten output, also in the kernel: the terminal is about to be restored."""
        self._unwritten.clear()
        self._bytes_in_flight.clear()
        self._unwatch()
        try:
            termios.tcflush(self.descriptor, termios.TCOFLUSH)
        except termios.error:
            return
        self.write("\x18")  # CAN ends a sequence that was cut

    def finish(self, seconds: float) -> None:
        """Write the rest, but wait for the terminal at most `seconds`."""
        self._unwatch()
        deadline = time.monotonic() + seconds
        while self._unwritten and not self._is_lost and (seconds_left := deadline - time.monotonic()) > 0:
            select.select([], [self.descriptor], [], seconds_left)
            self._write_some()
        self._unwritten.clear()
        self._is_lost = True

    def _push(self) -> None:
        self._write_some()
        if self._unwritten and not self._is_watched:
            self._loop.add_writer(self.descriptor, self._writable)
            self._is_watched = True

    def _writable(self) -> None:
        self._write_some()
        if not self._unwritten:
            self._unwatch()
            self._report_ready()

    def _write_some(self) -> None:
        while self._unwritten:
            data = self._unwritten.popleft()  # first: a signal handler may discard and finish during the write
            try:
                count = os.write(self.descriptor, data)
            except BlockingIOError:
                self._keep(data)
                return
            except OSError:
                self._report_lost()
                return
            self._keep(data[count:])

    def _keep(self, data: bytes) -> None:
        if data and not self._is_lost:
            self._unwritten.appendleft(data)

    def _report_ready(self) -> None:
        if self.ready:
            self._on_ready()

    def _unwatch(self) -> None:
        if self._is_watched:
            self._loop.remove_writer(self.descriptor)
            self._is_watched = False

    def _report_lost(self) -> None:
        self._unwatch()
        self._unwritten.clear()
        if not self._is_lost:
            self._is_lost = True
            self._on_lost()
