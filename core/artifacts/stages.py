"""A context manager that reports a block of work as one stage of an operation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import Cancelled
from core.progress import Progress, Stage, StageState, stop_if_cancelled


@contextmanager
def stage(progress: Progress, name: str, title: str) -> Iterator[None]:
    """Report the block as stage `name`: running, then done, failed or cancelled."""
    stop_if_cancelled(progress)
    running = Stage(id=name, title=title, state=StageState.RUNNING, started=time.time())
    progress.stage(running)
    state = StageState.FAILED
    try:
        yield
        state = StageState.DONE
    except Cancelled:
        state = StageState.CANCELLED
        raise
    finally:
        progress.stage(running.model_copy(update={"state": state, "ended": time.time()}))
