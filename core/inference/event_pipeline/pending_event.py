"""An event in the pipeline, with the steps that are still pending."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import Enum

from core.api_schema import Event


class PendingStep(Enum):
    """What a pending event waits for."""

    FLOW = "flow"
    ANSWER = "answer"


@dataclass
class PendingEvent:
    """`due`: when the flow begins whatever the analyser does, in monotonic seconds; None once it has begun.

    `asked` is when the analyser was asked. `picture` is held only until the analyser has it. `parts` belong to the
    coordinator, which changes them together with its table of cases.
    """

    event: Event
    flow: str
    picture: bytes | None = None
    flow_due: float | None = float("inf")
    asked_at: float = 0.0
    steps: set[PendingStep] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # guards `event` and `due`

    def change(self, **fields: object) -> None:
        """Know more of the event."""
        with self._lock:
            self.event = self.event.model_copy(update=fields)

    def wait_until(self, due: float) -> None:
        """The flow begins then, unless it has begun already."""
        with self._lock:
            if self.flow_due is not None:
                self.flow_due = due

    def run_again_at(self, due: float) -> None:
        """The flow that has begun could not be run; it begins again then."""
        with self._lock:
            self.flow_due = due

    def is_flow_due(self, now: float) -> bool:
        """Whether the flow has waited long enough."""
        with self._lock:
            return self.flow_due is not None and self.flow_due <= now

    def claim_flow(self) -> bool:
        """True for the one who may begin the flow: whoever comes first."""
        with self._lock:
            first, self.flow_due = self.flow_due is not None, None
            return first
