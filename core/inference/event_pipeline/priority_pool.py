"""A thread pool that runs the most urgent task first. Its threads are daemons, so a task that hangs blocks no exit."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

Task = Callable[[], None]
_END_RANK = 1 << 30  # sorts after all tasks


class PriorityPool:
    """`count` threads named after `name`. Exceptions of tasks are logged."""

    def __init__(self, name: str, count: int) -> None:
        self._queue: queue.PriorityQueue[tuple[int, int, Task | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]

    def start(self) -> None:
        """Start the threads; earlier tasks run now."""
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task, rank: int = 0) -> None:
        """Queue a task; a higher `rank` runs first, equal ranks in order."""
        self._queue.put((-rank, next(self._numbers), task))

    def stop(self, seconds: float) -> bool:
        """Finish the queue and stop; False when tasks are left after `seconds`."""
        until = time.monotonic() + seconds
        for _ in self._threads:
            self._queue.put((_END_RANK, next(self._numbers), None))
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (task := self._queue.get()[2]) is not None:
            try:
                task()
            except Exception:
                logger.exception("a task for an event failed")
