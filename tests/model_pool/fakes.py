"""Models and memory that count, for the tests of the pool."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core.inference.model_pool.devices import MemoryReading

MIB = 1024 * 1024


@dataclass(frozen=True)
class FakeSample:
    """What a counting model is asked: its answer is `value` again."""

    camera: str
    value: float = 0.0


class FakeCostStore:
    """A cost store in memory."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], int] = {}

    def get(self, key: str, device: str) -> int | None:
        return self.stored.get((key, device))

    def put(self, key: str, device: str, cost: int) -> None:
        self.stored[key, device] = cost


@dataclass
class FakeDevice:
    """A device whose bytes are counted exactly; `highest` is the most that was ever in use."""

    total: int
    others: int = 0
    name: str = "counted"
    context_bytes: int = 0
    used: int = 0
    highest: int = 0
    used_by_pid: dict[int, int] = field(default_factory=dict)  # of `others`
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, size: int) -> None:
        with self.lock:
            self.used += size
            self.highest = max(self.highest, self.used)

    def read(self) -> MemoryReading:
        with self.lock:
            used = self.used + self.others
            return MemoryReading(total=self.total, used=used, free=max(0, self.total - used), own=self.used)

    def used_by(self, pid: int) -> int | None:
        return self.used_by_pid.get(pid)

    def close(self) -> None:
        pass


class FakeModel:
    """Takes `size` bytes of the memory while it is loaded; `when_loading` may wait or raise."""

    width, height, pixel_format = 8, 8, "gray"
    provider = "cpu"

    def __init__(self, memory: FakeDevice, size: int, when_loading: Callable[[], None] = lambda: None) -> None:
        self._memory, self._size, self._when_loading = memory, size, when_loading
        self.loaded = self.closed = 0
        self.forgotten: list[str] = []

    def load(self) -> None:
        self._memory.take(self._size)
        self.loaded += 1
        self._when_loading()

    def close(self) -> None:
        if self.loaded:
            self._memory.take(-self._size)
        self.closed += 1

    def score(self, batch: Sequence[FakeSample]) -> list[float]:
        assert self.loaded == 1
        assert self.closed == 0
        return [ask.value for ask in batch]

    def forget(self, camera: str) -> None:
        self.forgotten.append(camera)
