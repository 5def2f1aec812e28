"""Unknown memory shown as none: where NVML names no processes, nothing is known of what this process leaks.

It applies to the ledger of the service, its API, and every screen that shows what models do not explain.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.api_schema import LedgerStatus
from core.inference.model_pool.devices import DeviceBudget, MemoryReading
from core.inference.model_pool.memory_budget import MemoryBudget
from tests.model_pool.fakes import FakeCostStore
from tui.formatters.service import memory_lines

MIB = 1024 * 1024
TELLS = MemoryReading(total=6000 * MIB, used=1000 * MIB, free=5000 * MIB, own=400 * MIB)


class Device:
    """A GPU with given answers."""

    name = "cuda:0 NVIDIA"
    context_bytes = 0

    def __init__(self) -> None:
        self.reading = replace(TELLS, own=0)

    def read(self) -> MemoryReading:
        return self.reading

    def used_by(self, pid: int) -> int | None:
        return None

    def close(self) -> None:
        pass


CASES: dict[str, tuple[MemoryReading, int | None, str]] = {
    "it names this process": (TELLS, 400 * MIB, "400 MiB unexplained"),
    "nothing is left over": (replace(TELLS, own=0), 0, ""),
    "it names nobody": (replace(TELLS, own=None), None, "unexplained: unknown"),
    "it does not answer any more": (replace(TELLS, fresh=False), None, "unexplained: unknown"),
    "neither": (replace(TELLS, own=None, fresh=False), None, "unexplained: unknown"),
}


@pytest.mark.parametrize(("reading", "drift", "words"), CASES.values(), ids=CASES.keys())
def test_what_is_not_known_is_not_zero(reading: MemoryReading, drift: int | None, words: str) -> None:
    device = Device()
    book = MemoryBudget(DeviceBudget(device, 0), FakeCostStore())
    device.reading = reading
    status = book.status([])
    assert status.drift == drift
    text = " ".join(span.text for line in memory_lines(status, 200) for span in line)
    assert ("unexplained" in text) == bool(words)
    assert words in text
    assert LedgerStatus.model_validate_json(status.model_dump_json()).drift == drift


def test_while_a_model_loads_nothing_is_known() -> None:
    book = MemoryBudget(DeviceBudget(Device(), 0), FakeCostStore())
    assert book.charge("a", 10 * MIB) is None
    book.begin_load()
    assert book.status([]).drift is None
    book.end_load("a")
    assert book.status([]).drift == 0


def test_a_service_that_does_not_say_is_unknown() -> None:
    old = {"device": "cuda:0", "total": 1, "reserve": 0, "ours": 0}
    assert LedgerStatus.model_validate(old).drift is None
