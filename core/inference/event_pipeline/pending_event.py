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
    """The state of one event in the pipeline; it does nothing itself. Times are monotonic seconds."""

    event: Event
    flow: str
    picture: bytes | None = None
    """The snapshot, until the analyser has it."""
    flow_due: float | None = float("inf")
    """When the flow starts without the analyser's answer; None once it has started."""
    asked_at: float = 0.0
    """When the analyser was asked."""
    steps: set[PendingStep] = field(default_factory=set)
    """Guarded by the coordinator, together with its table of pending events."""
    _lock: threading.Lock = field(default_factory=threading.Lock)  # guards `event` and `flow_due`

    def change(self, **fields: object) -> None:
        with self._lock:
            self.event = self.event.model_copy(update=fields)

    def wait_until(self, due: float) -> None:
        """Start the flow then, unless it has started already."""
        with self._lock:
            if self.flow_due is not None:
                self.flow_due = due

    def run_again_at(self, due: float) -> None:
        """Start the flow again then, because it could not run."""
        with self._lock:
            self.flow_due = due

    def is_flow_due(self, now: float) -> bool:
        with self._lock:
            return self.flow_due is not None and self.flow_due <= now

    def claim_flow(self) -> bool:
        """True for the first caller only, who then starts the flow."""
        with self._lock:
            first, self.flow_due = self.flow_due is not None, None
            return first
