"""A pool over a fake device of 1000 MB, of which 100 MB are kept in reserve."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.inference.model_pool.devices import DeviceBudget
from core.inference.model_pool.pool import ModelPool
from core.inference.settings import MIB
from tests.model_pool.fakes import FakeCostStore, FakeDevice


@pytest.fixture
def memory() -> FakeDevice:
    return FakeDevice(total=1000 * MIB)


@pytest.fixture
def costs() -> FakeCostStore:
    return FakeCostStore()


@pytest.fixture
def pool(memory: FakeDevice, costs: FakeCostStore) -> Iterator[ModelPool]:
    pool = ModelPool(DeviceBudget(memory, reserve=100 * MIB), costs=costs)
    yield pool
    pool.close()
