"""The chores of visual inspection, once a minute."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from core.errors import XaivaError
from core.inference.database.errors import DatabaseError

logger = logging.getLogger(__name__)

ROUND_SECONDS = 60.0
STOP_SECONDS = 1.0


class Chores:
    """Does each chore in a thread of its own: one that hangs or fails stops no other."""

    def __init__(self, chores: Mapping[str, Callable[[], object]]) -> None:
        """`chores` by what each is, such as "the retention of inspections"."""
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=chore, name=f"chore-{number}", daemon=True)
            for number, chore in enumerate(chores.items())
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in filter(threading.Thread.is_alive, self._threads):  # a service may stop before it has started
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self, name: str, chore: Callable[[], object]) -> None:
        while not self._stop.wait(ROUND_SECONDS):
            try:
                chore()
            except DatabaseError as error:
                logger.debug("%s: the database does not answer: %s", name, error.why)
            except XaivaError as error:
                logger.error("%s failed: %s", name, error)
            except Exception:
                logger.exception("%s failed", name)
