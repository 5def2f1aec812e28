"""The output buffer to the terminal. Nothing here ever waits for it, and it is known what has arrived there."""

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
WINDOW = 2048  # bytes that may be on their way unanswered while the next frame goes out: 0.25 s at 64 kbit/s
PATIENCE = 3.0  # seconds after which an unanswered receipt is forgotten: a terminal may have been swapped under us
_RECEIPT_FROM = 512  # bytes since the last receipt that make another worth its four
_CHUNK = 4096  # one write; a terminal's kernel buffer is of that order


class Outbox:
    """Writes to a terminal's non-blocking descriptor from the event loop.

    `room()` is called when all is written and, where the terminal gives receipts, drawn.
    `lost()` is called once, when the terminal is gone; what is written later is dropped.
    """

    def __init__(self, descriptor: int, room: Callable[[], None], lost: Callable[[], None]) -> None:
        self.descriptor = descriptor
        self._room = room
        self._lost = lost
        self._gone = False
        self._waiting: deque[bytes] = deque()
        self._watched = False
        self._receipts = False
        self._unasked = 0
        self._unanswered: deque[int] = deque()
        self._oldest = 0.0
        self._loop = asyncio.get_running_loop()

    @property
    def receipts(self) -> bool:
        """Whether the terminal gives receipts."""
        return self._receipts

    @property
    def ready(self) -> bool:
        """Whether a new frame would go out at once and be seen soon."""
        if self._waiting or self._gone:
            return False
        if self._unanswered and time.monotonic() - self._oldest > PATIENCE:
            self._unanswered.clear()
        return sum(self._unanswered) <= WINDOW

    def write(self, text: str) -> None:
        """Send control sequences; they keep their order with frames."""
        if self._gone or not text:
            return
        data = text.encode("utf-8", "replace")
        self._waiting.extend(data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))
        self._push()

    def send_frame(self, text: str) -> None:
        """Send a frame, with a request for a receipt once the terminal has shown that it gives them."""
        self._unasked += len(text)
        if self._receipts and self._unasked >= _RECEIPT_FROM:
            text += RECEIPT
            if not self._unanswered:
                self._oldest = time.monotonic()
                self._loop.call_later(PATIENCE + 0.1, self._offer_room)
            self._unanswered.append(self._unasked)
            self._unasked = 0
        self.write(text)

    def ask_for_receipts(self) -> None:
        """Find out whether the terminal gives receipts at all."""
        self.write(RECEIPT)

    def answered(self) -> None:
        """A receipt came in."""
        self._receipts = True
        if self._unanswered:
            self._unanswered.popleft()
            self._oldest = time.monotonic()
        self._offer_room()

    def discard(self) -> None:
        """Drop what is not out yet, also in the kernel: the terminal is to be put back now."""
        self._waiting.clear()
        self._unanswered.clear()
        self._unwatch()
        try:
            termios.tcflush(self.descriptor, termios.TCOFLUSH)
        except termios.error:
            return
        self.write("\x18")  # CAN ends a sequence that was cut

    def finish(self, seconds: float) -> None:
        """Write what is left, but wait for the terminal no longer than `seconds`."""
        self._unwatch()
        deadline = time.monotonic() + seconds
        while self._waiting and not self._gone and (left := deadline - time.monotonic()) > 0:
            select.select([], [self.descriptor], [], left)
            self._write_some()
        self._waiting.clear()

    def _push(self) -> None:
        self._write_some()
        if self._waiting and not self._watched:
            self._loop.add_writer(self.descriptor, self._writable)
            self._watched = True

    def _writable(self) -> None:
        self._write_some()
        if not self._waiting:
            self._unwatch()
            self._offer_room()

    def _write_some(self) -> None:
        while self._waiting:
            data = self._waiting[0]
            try:
                count = os.write(self.descriptor, data)
            except BlockingIOError:
                return
            except OSError:
                self._terminal_gone()
                return
            if count < len(data):
                self._waiting[0] = data[count:]
            else:
                self._waiting.popleft()

    def _offer_room(self) -> None:
        if self.ready:
            self._room()

    def _unwatch(self) -> None:
        if self._watched:
            self._loop.remove_writer(self.descriptor)
            self._watched = False

    def _terminal_gone(self) -> None:
        self._unwatch()
        self._waiting.clear()
        if not self._gone:
            self._gone = True
            self._lost()
