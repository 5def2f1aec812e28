"""A bounded history of a figure, for sparklines."""

from __future__ import annotations

from collections import deque


class History:
    """The newest `length` values, oldest first; None where there was no value."""

    def __init__(self, length: int) -> None:
        self._values: deque[float | None] = deque(maxlen=length)
        self.dropped = 0  # values dropped so far: a graph with several values per bar aligns its bars by this

    def add(self, value: float | None) -> None:
        """Append a value; the oldest goes when the history is full."""
        self.dropped += len(self._values) == self._values.maxlen
        self._values.append(value)

    def values(self) -> list[float | None]:
        """All values, oldest first."""
        return list(self._values)

    def __len__(self) -> int:
        return len(self._values)
