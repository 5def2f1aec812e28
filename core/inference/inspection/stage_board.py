"""Counts pictures in the stages of a job and, below each stage, for every product, and times the stages."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from typing_extensions import Self

from core.errors import Cancelled
from core.progress import REPORT_SECONDS, Progress, Stage, StageState

UNIT = "files"


class StageBoard:
    """Reports what has changed five times a second, from a thread of its own. Thread-safe.

    When its block ends with an error, the stages that still run are reported as failed or cancelled.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stages: dict[str, Stage] = {}
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._reporter = threading.Thread(target=self._report_regularly, name="stages", daemon=True)
        self._busy: dict[str, int] = {}
        self._since: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._reporter.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._over.set()
        self._reporter.join()
        state = StageState.CANCELLED if isinstance(error, Cancelled) else StageState.FAILED
        running = [stage for stage in self._stages.values() if stage.state is StageState.RUNNING]
        for stage in sorted(running, key=lambda stage: not stage.parent):
            self._set(stage.id, state=state, ended=time.time())
        self._report()

    @property
    def seconds(self) -> dict[str, float]:
        """How long each stage was at work: the time in which at least one thread was inside `busy`."""
        with self._lock:
            return {stage: round(seconds, 3) for stage, seconds in self._seconds.items()}

    def start(self, stage: str, title: str, detail: str = "") -> None:
        """Begin a stage."""
        begun = Stage(id=stage, title=title, state=StageState.RUNNING, unit=UNIT, detail=detail, started=time.time())
        with self._lock:
            self._stages[stage] = begun
        self._progress.stage(begun)  # at once, so that listeners see the stages in their order

    def add(self, stage: str, product: str, count: int = 1) -> None:
        """Count pictures of a product as done."""
        part = f"{stage}/{product}"
        with self._lock:
            if part not in self._stages:
                self._stages[part] = Stage(
                    id=part, title=product, state=StageState.RUNNING, unit=UNIT, parent=stage, started=time.time()
                )
            for name in (part, stage):
                self._stages[name] = self._stages[name].model_copy(update={"done": self._stages[name].done + count})
                self._changed.add(name)

    def expect(self, stage: str, totals: Mapping[str, int]) -> None:
        """Say how many pictures of each product the stage has to do."""
        for product, total in totals.items():
            self.add(stage, product, 0)
            self._set(f"{stage}/{product}", total=total)
        self._set(stage, total=sum(totals.values()))

    def finish(self, stage: str) -> None:
        """End a stage and its products."""
        with self._lock:
            parts = [part.id for part in self._stages.values() if part.parent == stage]
        for part in parts:
            self._set(part, state=StageState.DONE, ended=time.time())
        self._set(stage, state=StageState.DONE, ended=time.time())

    @contextmanager
    def busy(self, stage: str) -> Iterator[None]:
        """A thread is at work for the stage while the block runs."""
        self._count_busy(stage, +1)
        try:
            yield
        finally:
            self._count_busy(stage, -1)

    def _count_busy(self, stage: str, change: int) -> None:
        with self._lock:
            now = time.monotonic()
            before = self._busy.get(stage, 0)
            if before:
                self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._since[stage]
            self._since[stage] = now
            self._busy[stage] = before + change

    def _set(self, stage: str, **update: object) -> None:
        with self._lock:
            self._stages[stage] = self._stages[stage].model_copy(update=update)
            self._changed.add(stage)

    def _report_regularly(self) -> None:
        while not self._over.wait(REPORT_SECONDS):
            self._report()

    def _report(self) -> None:
        with self._lock:
            changed = [self._stages[stage] for stage in self._stages if stage in self._changed]
            self._changed.clear()
        for stage in changed:
            self._progress.stage(stage)
