"""Decides what follows an attempt: its outcome is final, it is tried again, or it goes back into the queue."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from core.operations.model import OperationState
from core.operations.queue import QueueRule
from core.operations.worker import WorkerOutcome

MAX_CRASHES = 2  # crashes of its own process after which an operation is not tried again
_JITTER = 0.2  # by how much a pause is varied, so that those that failed together do not all come back together


class NextStep(Enum):
    """What follows an attempt."""

    END = "end"
    TRY_AGAIN = "try again"
    QUEUE = "queue"


@dataclass(frozen=True)
class AttemptEnd:
    """How an attempt ended."""

    outcome: WorkerOutcome
    lost: bool = False
    """Whether the worker ended without reporting an outcome."""
    interrupted: bool = False
    """Whether it was asked to end: by a cancel, a planned stop, or a SIGTERM when the machine shuts down."""


@dataclass(frozen=True)
class Requests:
    """What somebody has asked of a running operation."""

    cancel: bool = False
    stop: bool = False
    """It has to stop and to go back into the queue."""

    @property
    def any(self) -> bool:
        return self.cancel or self.stop


def next_step(rule: QueueRule, end: AttemptEnd, requests: Requests, failures: int, crashes: int) -> NextStep:
    """What follows. `failures` are the attempts that failed before this one, `crashes` those of them that crashed."""
    state = end.outcome.state
    if requests.cancel:
        return NextStep.END
    if state is OperationState.CANCELLED:
        resumes = requests.stop or rule.attempts > 1
        return NextStep.QUEUE if end.interrupted and resumes else NextStep.END
    crashed = state is OperationState.CRASHED
    if not crashed and not end.outcome.transient:
        return NextStep.END
    if failures + 1 >= rule.attempts or (crashed and crashes + 1 >= MAX_CRASHES):
        return NextStep.END
    return NextStep.QUEUE if requests.stop else NextStep.TRY_AGAIN


def pause_before(rule: QueueRule, failures: int) -> float:
    """Seconds to wait before the next attempt, after so many that failed."""
    if not rule.pauses:
        return 0.0
    return rule.pauses[min(failures, len(rule.pauses)) - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)
