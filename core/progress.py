"""The interface that long work reports its progress to. It knows nothing of who listens: a ledger, a test, nobody."""

from __future__ import annotations

from typing import Protocol

from pydantic import BaseModel, ConfigDict

from core.errors import Cancelled
from core.open_enum import OpenEnum

OUTCOME = "outcome"  # the stage of log lines that the outcome holds, too: who follows is shown them once, at the end


class StageState(OpenEnum):
    """The states of a stage; CACHED is done without work."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Stage(BaseModel):
    """One step of an operation, as it stands now. A later report with the same `id` replaces it.

    `done` and `total` are in `unit` ("bytes", "files", "steps"; "" for none); `total` 0 means unknown.
    `started` and `ended` are Unix times in seconds, 0 for not yet. `parent` is the id of the stage it belongs to.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    state: StageState = StageState.WAITING
    done: float = 0
    total: float = 0
    unit: str = ""
    detail: str = ""
    started: float = 0
    ended: float = 0
    parent: str = ""


class Progress(Protocol):
    """The listener of long work. All methods may be called from any thread and return at once."""

    def stage(self, stage: Stage) -> None:
        """Report a stage's newest state."""

    def log(self, line: str, stage: str = "") -> None:
        """Report one line of output, without its newline, of the stage with that id."""

    def cancelled(self) -> bool:
        """Whether the work should stop now."""


class NullProgress:
    """Listens to nothing and never cancels."""

    def stage(self, stage: Stage) -> None:
        """Drop it."""

    def log(self, line: str, stage: str = "") -> None:
        """Drop it."""

    def cancelled(self) -> bool:
        """Never."""
        return False


def stop_if_cancelled(progress: Progress) -> None:
    """Raise `Cancelled` when the listener wants the work to stop."""
    if progress.cancelled():
        raise Cancelled()
