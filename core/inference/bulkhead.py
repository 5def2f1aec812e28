"""Bulkheads: each kind of slow work has a few threads of its own, so that it cannot block anything else.

The threads are daemons that nobody waits for at shutdown: work that hangs in a device, a mount or a library only takes
a place in its own bulkhead.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from core.errors import XaivaError

Result = TypeVar("Result")


class TooManyRequests(XaivaError):
    """The request is refused for now; the caller may try again after `retry_after` whole seconds."""

    def __init__(self, what: str, why: str, seconds: float) -> None:
        self.retry_after = max(1, math.ceil(seconds))
        super().__init__(what, why, f"try again in {self.retry_after} s")


class Bulkhead:
    """Runs up to `at_once` jobs of one kind in parallel; `waiting` more wait for their turn.

    A refusal speaks of `name` and asks the caller to wait `retry_after` seconds. `niceness` is that of the threads.
    """

    def __init__(
        self, name: str, at_once: int, waiting: int = 0, *, retry_after: float = 2.0, niceness: int = 0
    ) -> None:
        self.name = name
        self.at_once = at_once
        self.waiting = waiting
        self._retry_after = retry_after
        self._niceness = niceness
        self._lock = threading.Lock()
        self._threads = 0
        self._queue: deque[Callable[[], None]] = deque()

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Start `work`, or queue it. Raises TooManyRequests when the queue is full."""
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            if self._threads < self.at_once:
                threading.Thread(target=self._run, args=(run,), name=self.name, daemon=True).start()
                self._threads += 1
            elif len(self._queue) < self.waiting:
                self._queue.append(run)
            else:
                why = f"{self.at_once} are running" + (f" and {self.waiting} are waiting" if self.waiting else "")
                raise TooManyRequests(self.name, f"{why}: no more are accepted", self._retry_after)
        return future

    def _run(self, run: Callable[[], None]) -> None:
        if self._niceness:
            with contextlib.suppress(OSError):
                os.nice(self._niceness)  # on Linux this affects the current thread only
        while True:
            run()
            with self._lock:
                if not self._queue:
                    self._threads -= 1
                    return
                run = self._queue.popleft()
