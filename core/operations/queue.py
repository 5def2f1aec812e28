"""How the operations of a kind queue: which resources they use, how often they are tried, when they count as stuck."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QueueRule:
    """The rule for one kind of operation. The default: start at once, try once, never count as stuck."""

    resources: tuple[str, ...] = ()
    """What it uses while it runs, such as `cpu` or `gpu:0`. It waits until there is room for it in each of them."""
    attempts: int = 1
    """How often it is tried before a failure that may pass (`TransientError`) is final."""
    silence: float = 0
    """Seconds without a report (stage, log line or output) after which it is killed; 0 for never."""
    niceness: int = 0
    """What is added to the niceness of its process: 0 to 19."""
    pauses: tuple[float, ...] = (1.0, 4.0, 16.0)
    """Seconds to wait before the second attempt, the third and so on; the last one holds for all further attempts."""


NO_RULE = QueueRule()
