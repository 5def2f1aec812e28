"""The interface through which long-running work reports its progress, whatever listens: a ledger, a test, nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from pydantic import BaseModel, ConfigDict
from typing_extensions import Self

from core.errors import Cancelled
from core.open_enum import OpenEnum

REPORT_SECONDS = 0.2  # between two reports of one count
OUTCOME = "outcome"  # the stage of log lines that are also in the outcome: followers show them only at the end


class StageState(OpenEnum):
    """The states of a stage. CACHED: done, because the result was already there."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Stage(BaseModel):
    """The current state of one step of an operation. A later report with the same `id` replaces it."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    state: StageState = StageState.WAITING
    done: float = 0
    """In `unit`."""
    total: float = 0
    """In `unit`; 0 when unknown."""
    unit: str = ""
    """`bytes`, `files` or `steps`; empty when nothing is counted."""
    detail: str = ""
    started: float = 0
    """Unix time in seconds, 0 for not yet; so is `ended`."""
    ended: float = 0
    parent: str = ""
    """The id of the stage it belongs to; empty for a top-level stage."""


def stage_tree(stages: Sequence[Stage], running_first: bool = False) -> list[tuple[int, Stage]]:
    """The stages as a tree, each with its depth; a stage with an unknown parent is at the top.

    Siblings are in the order of their start, with `running_first` those under way before all others.
    """
    stage_ids = {stage.id for stage in stages}
    children: dict[str, list[Stage]] = {}
    for stage in stages:
        parent = stage.parent if stage.parent in stage_ids and stage.parent != stage.id else ""
        children.setdefault(parent, []).append(stage)
    for siblings in children.values():
        siblings.sort(  # an engine reports its last step first
            key=lambda stage: (running_first and stage.state is not StageState.RUNNING, stage.started or float("inf"))
        )
    out: list[tuple[int, Stage]] = []

    def walk(parent: str, depth: int) -> None:
        for stage in children.get(parent, []):
            out.append((depth, stage))
            walk(stage.id, depth + 1)

    walk("", 0)
    return out


class Progress(Protocol):
    """What long-running work reports to. All methods return at once and may be called from any thread."""

    def stage(self, stage: Stage) -> None:
        """Report a stage's newest state."""

    def log(self, line: str, stage: str = "") -> None:
        """Report one line of output, without its newline, of the stage with that id."""

    def cancelled(self) -> bool:
        """Whether the work should stop now."""


class NullProgress:
    """A `Progress` that ignores all reports and never cancels."""

    def stage(self, stage: Stage) -> None:
        """Ignore the report of a stage."""

    def log(self, line: str, stage: str = "") -> None:
        """Ignore the line of output."""

    def cancelled(self) -> bool:
        """Always False: nobody can cancel."""
        return False


def stop_if_cancelled(progress: Progress) -> None:
    """Raise `Cancelled` when the listener has cancelled the work."""
    if progress.cancelled():
        raise Cancelled()


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


class ByteCounter:
    """Reports the block as stage `name` that counts bytes: running, then done, failed or cancelled. Thread-safe."""

    def __init__(self, progress: Progress, name: str, title: str, total: int) -> None:
        self._progress = progress
        self._stage = Stage(
            id=name, title=title, state=StageState.RUNNING, total=total, unit="bytes", started=time.time()
        )
        self._done = 0
        self._reported = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        stop_if_cancelled(self._progress)
        self._report()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        failed = StageState.CANCELLED if isinstance(error, Cancelled) else StageState.FAILED
        end = {"state": StageState.DONE if error is None else failed, "detail": "", "ended": time.time()}
        if error is None:
            self._done = max(self._done, int(self._stage.total))
        self._stage = self._stage.model_copy(update=end)
        self._report()

    def add(self, count: int, detail: str = "") -> None:
        """Count bytes; `detail` is what they belong to. Some calls are not reported, so that there are not too many."""
        with self._lock:
            self._done += count
            if detail and detail != self._stage.detail:
                self._stage = self._stage.model_copy(update={"detail": detail})
            if time.monotonic() - self._reported > REPORT_SECONDS:
                self._reported = time.monotonic()
                self._report()

    def reach(self, done: int, detail: str) -> None:
        """Set the bytes that are done, and say what comes next."""
        with self._lock:
            self._done = done
            self._stage = self._stage.model_copy(update={"detail": detail})
            self._report()

    def _report(self) -> None:
        done = min(self._done, self._stage.total) if self._stage.total else self._done
        self._progress.stage(self._stage.model_copy(update={"done": done}))
