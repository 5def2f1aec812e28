"""The stage that reports a transfer: bytes of the new objects, and how many objects are complete."""

from __future__ import annotations

import threading
import time

from typing_extensions import Self

from core.errors import Cancelled
from core.progress import REPORT_SECONDS, Progress, Stage, StageState, stop_if_cancelled


class TransferStage:
    """A context: running, then done (cached if nothing was new), failed or cancelled. Thread-safe."""

    def __init__(self, progress: Progress, name: str, title: str) -> None:
        self._progress = progress
        self._stage = Stage(id=name, title=title, state=StageState.RUNNING, unit="bytes", started=time.time())
        self._lock = threading.Lock()
        self._reported = 0.0
        self._changed = False  # since the last report
        self._bytes = 0
        self._new = 0
        self._complete = 0
        self._objects = 0

    def __enter__(self) -> Self:
        stop_if_cancelled(self._progress)
        self._report()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            state = StageState.DONE if self._new else StageState.CACHED
        else:
            stopped = isinstance(error, (Cancelled, GeneratorExit))
            state = StageState.CANCELLED if stopped else StageState.FAILED
        with self._lock:
            self._stage = self._stage.model_copy(update={"state": state, "ended": time.time()})
            self._report()

    def begin(self, size: int, new: int, objects: int) -> None:
        """Say how many bytes and objects are to be fetched, and how many objects there are."""
        with self._lock:
            self._new, self._objects = new, objects
            self._stage = self._stage.model_copy(update={"total": size, "detail": self._detail()})
            self._report()

    def add(self, count: int) -> None:
        """Count bytes; negative for an object that starts again."""
        with self._lock:
            self._bytes += count
            self._changed = True
            self._report_seldom()

    def complete(self) -> None:
        """Count an object that is complete."""
        with self._lock:
            self._complete += 1
            self._changed = True
            self._stage = self._stage.model_copy(update={"detail": self._detail()})
            self._report_seldom()

    def poll(self, detail: str = "") -> None:
        """Report what is new. Nothing is reported of a storage that hangs: by that it is found. Raises Cancelled."""
        stop_if_cancelled(self._progress)
        with self._lock:
            if detail and detail != self._stage.detail:
                self._changed = True
                self._stage = self._stage.model_copy(update={"detail": detail})
            self._report_seldom()

    def _detail(self) -> str:
        unchanged = self._objects - self._new
        said = f"{self._complete} of {self._new} objects" if self._new else ""
        return ", ".join(filter(None, (said, f"{unchanged} unchanged" if unchanged else "")))

    def _report_seldom(self) -> None:
        if self._changed and time.monotonic() - self._reported > REPORT_SECONDS:
            self._report()

    def _report(self) -> None:
        self._reported, self._changed = time.monotonic(), False
        done = max(0, min(self._bytes, self._stage.total) if self._stage.total else self._bytes)
        self._progress.stage(self._stage.model_copy(update={"done": done}))
