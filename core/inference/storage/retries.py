"""Tries again what may pass: three times, with pauses that grow and differ."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from core.inference.storage.model import StorageDown

RETRIES = 3
FIRST_PAUSE = 0.2  # seconds; each further one is three times as long
Result = TypeVar("Result")


def pause_before(retry: int) -> float:
    """Seconds to wait before the first, second, third retry. They differ, so that ten workers do not return at once."""
    return FIRST_PAUSE * 3.0 ** (retry - 1) * random.uniform(0.5, 1.5)


def retrying(work: Callable[[], Result]) -> Result:
    """What `work` returns. Raises what it raises; StorageDown only after three retries."""
    for retry in range(1, RETRIES + 1):
        try:
            return work()
        except StorageDown:
            time.sleep(pause_before(retry))
    return work()
