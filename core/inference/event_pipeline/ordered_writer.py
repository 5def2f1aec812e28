"""Writes events and their changes in order, and retries what the disk refuses."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from core.errors import InputError, XaivaError

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class OrderedWriter:
    """A thread that runs one write after another."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()  # guards the queue and the two flags
        self._write_lock = threading.Lock()  # held during a write, to keep the order
        self._stopping = False
        self._refused = False
        self._thread = threading.Thread(target=self._run, name="event-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def write_now(self, write: Callable[[], None]) -> None:
        """Write before returning, ahead of the queue; queue it when the disk refuses.

        Raises InputError for what can never be stored.
        """
        try:
            with self._write_lock:
                write()
        except InputError:
            raise
        except XaivaError as error:
            self._log_refusal(error)
            self.write_later(write)

    def write_later(self, write: Callable[[], None]) -> None:
        with self._changed:
            self._waiting.append(write)
            self._changed.notify()

    def stop(self, seconds: float) -> bool:
        """Finish the queue and stop within `seconds`; False when writes are left."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(max(0.0, seconds))
        with self._changed:
            return not self._waiting

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if not self._waiting:
                    return
            with self._write_lock:
                done = self._write_first()
            if not done:
                with self._changed:
                    if self._stopping:
                        return
                    self._changed.wait_for(lambda: self._stopping, RETRY_SECONDS)

    def _write_first(self) -> bool:
        try:
            self._waiting[0]()
        except InputError as error:  # no retry can help
            logger.error("a change to an event was lost: %s", error.summary)
        except XaivaError as error:
            self._log_refusal(error)
            return False
        except Exception:
            logger.exception("a change to an event was lost")
        with self._changed:
            self._waiting.popleft()
            self._refused = False
        return True

    def _log_refusal(self, error: XaivaError) -> None:
        with self._changed:
            again, self._refused = self._refused, True
        if not again:
            logger.error("an event waits in memory: %s", error.summary)
