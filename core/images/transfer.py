"""One stage of an operation that counts bytes."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from core.errors import Cancelled
from core.progress import Progress, Stage, StageState

_REPORT_SECONDS = 0.2  # between reports of the bytes


class TransferStage:
    """Reports the block as a stage, and the bytes that it counts. Any thread may count."""

    def __init__(self, progress: Progress, name: str, title: str, total: int) -> None:
        self._progress = progress
        self._stage = Stage(
            id=name, title=title, state=StageState.RUNNING, total=total, unit="bytes", started=time.time()
        )
        self._done, self._reported = 0, 0.0
        self._lock = threading.Lock()

    def count(self, size: int) -> None:
        """Add bytes that were moved, or that need not be."""
        with self._lock:
            self._done += size
            if time.monotonic() - self._reported > _REPORT_SECONDS:
                self._reported = time.monotonic()
                self._report()

    def reach(self, done: int, detail: str = "") -> None:
        """Set the bytes that are done, and say what comes next."""
        with self._lock:
            self._done = done
            self._stage = self._stage.model_copy(update={"detail": detail})
            self._report()

    def _report(self) -> None:
        self._progress.stage(self._stage.model_copy(update={"done": min(self._done, self._stage.total)}))

    def __enter__(self) -> TransferStage:
        self._report()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        state = StageState.DONE if kind is None else StageState.FAILED
        if isinstance(error, Cancelled):
            state = StageState.CANCELLED
        done = self._stage.total if kind is None else min(self._done, self._stage.total)
        self._progress.stage(
            self._stage.model_copy(update={"state": state, "done": done, "detail": "", "ended": time.time()})
        )
