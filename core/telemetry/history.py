"""Bounded histories of figures, for sparklines."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass


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


@dataclass(frozen=True)
class Trend:
    """The history of one figure."""

    values: list[float | None]
    """Oldest first; None where there was no value."""
    seconds: float
    """From the first value to the newest one; 0 where that is not known."""
    step: int = 1
    """How many values a bar of a graph stands for, so that its bars keep their height while values come."""


class Trends:
    """Bounded histories of the figures of many things, such as containers. Not thread-safe."""

    def __init__(self, length: int, step: int, gap_seconds: float) -> None:
        """`length` values each, given out in whole groups of `step`; a longer silence than `gap_seconds` is a gap."""
        self._length = length
        self._step = step
        self._gap_seconds = gap_seconds
        self._histories: dict[str, dict[str, History]] = {}
        self._times: dict[str, deque[float]] = {}

    def add(self, figures: Mapping[str, Mapping[str, float | None]], now: float) -> dict[str, dict[str, Trend]]:
        """Add the figures of each thing, at monotonic time `now`, and return all trends. Other things are forgotten."""
        self._histories = {key: self._histories.get(key, {}) for key in figures}
        self._times = {key: self._times.get(key, deque(maxlen=self._length)) for key in figures}
        return {key: self._add_one(key, values, now) for key, values in figures.items()}

    def _add_one(self, key: str, values: Mapping[str, float | None], now: float) -> dict[str, Trend]:
        histories, times = self._histories[key], self._times[key]
        is_gap = bool(times) and now - times[-1] > self._gap_seconds
        times.extend([now] * (self._step + 1 if is_gap else 1))
        trends: dict[str, Trend] = {}
        for name, value in values.items():
            history = histories.setdefault(name, History(self._length))
            for _ in range(self._step if is_gap else 0):
                history.add(None)
            history.add(value)
            whole_groups = history.values()[-history.dropped % self._step :]
            trends[name] = Trend(whole_groups, now - times[-len(whole_groups)], self._step)
        return trends
