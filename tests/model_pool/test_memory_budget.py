"""The memory budget: what is charged before a load, what NVML measures around it, and what does not add up."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from core.api_schema import ModelStatus
from core.inference.database.engine import Database
from core.inference.model_pool.cost_store import DatabaseCosts
from core.inference.model_pool.devices import DeviceBudget, GpuMemory, HostMemory, find_device_budget
from core.inference.model_pool.load_errors import NoRoom
from core.inference.model_pool.memory_budget import MemoryBudget
from core.inference.model_pool.pool import ModelPool, ModelSpec
from tests.model_pool.fakes import MIB, FakeCostStore, FakeDevice
from tests.support.fake_nvml import FakeNvml

GPU = ("gpu gtx1060",)
DRIVER = 300  # MB that it keeps for itself
GTX = "cuda:0 NVIDIA GeForce GTX 1060 6GB"


class FakeGpu:
    """A GTX 1060 of which this process and others use so many MB; NVML tells processes apart, or does not."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, tells: bool = True) -> None:
        self.own, self.others, self.tells = 0, 300, tells
        self._lock = threading.Lock()
        self.nvml = FakeNvml(folder)
        self.use(0)
        for name, value in self.nvml.env.items():
            monkeypatch.setenv(name, value)

    def use(self, more: int, others: int = 0) -> None:
        """So many MB more (or less), of this process and of others."""
        with self._lock:
            self.own += more
            self.others += others
            if self.tells:
                self.nvml.say(*GPU, f"used 0 {self.others * MIB}", f"process 0 {os.getpid()} {self.own * MIB}")
            else:
                self.nvml.say(*GPU, f"used 0 {(self.own + self.others) * MIB}")


class GpuModel:
    """Takes so many MB of the GPU."""

    def __init__(self, gpu: FakeGpu, size: int, when_loading: Callable[[], None] = lambda: None) -> None:
        self._gpu, self._size, self._when_loading = gpu, size, when_loading

    def load(self) -> None:
        self._when_loading()
        self._gpu.use(self._size)

    def close(self) -> None:
        self._gpu.use(-self._size)


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    return FakeGpu(tmp_path, monkeypatch)


@pytest.fixture
def costs() -> FakeCostStore:
    return FakeCostStore()


@pytest.fixture
def pool(gpu: FakeGpu, costs: FakeCostStore) -> Iterator[ModelPool]:
    pool = ModelPool(DeviceBudget(GpuMemory(), reserve=500 * MIB), costs=costs)
    yield pool
    pool.close()


def model_status(pool: ModelPool, key: str) -> ModelStatus:
    return next(one for one in pool.status().models if one.key == key)


def test_a_model_s_cost_is_measured_and_kept(gpu: FakeGpu, pool: ModelPool, costs: FakeCostStore) -> None:
    with pool.lease("a", ModelSpec(lambda: GpuModel(gpu, 900), 100 * MIB)) as lease:
        assert lease.cost == 900 * MIB
        status = pool.status()
    assert (status.device, status.total, status.reserve) == (GTX, 6 << 30, 500 * MIB)
    assert (status.ours, status.others, status.drift) == (900 * MIB, 300 * MIB, 0)
    assert status.free == (6144 - 900 - 300 - DRIVER - 500) * MIB
    assert (model_status(pool, "a").measured, model_status(pool, "a").declared) == (True, 100 * MIB)
    assert costs.stored == {("a", GTX): 900 * MIB}


def test_what_was_measured_counts_before_the_next_load(gpu: FakeGpu, pool: ModelPool, costs: FakeCostStore) -> None:
    costs.stored["a", GTX] = 7000 * MIB
    with pytest.raises(NoRoom, match="needs 7000 MB"):
        pool.lease("a", ModelSpec(lambda: GpuModel(gpu, 10), 10 * MIB))
    with pytest.raises(NoRoom, match="needs 6000 MB and 5044 MB are left of 6144 MB on cuda:0 NVIDIA"):
        pool.lease("b", ModelSpec(lambda: GpuModel(gpu, 10), 6000 * MIB))  # never measured: as declared


def test_others_and_drift(gpu: FakeGpu, pool: ModelPool) -> None:
    with pool.lease("a", ModelSpec(lambda: GpuModel(gpu, 900), 900 * MIB)):
        gpu.use(200, others=1000)  # this process leaks; another container starts
        status = pool.status()
        assert (status.ours, status.others, status.drift) == (900 * MIB, 1300 * MIB, 200 * MIB)
        assert status.free == (6144 - 900 - 200 - 1300 - DRIVER - 500) * MIB
        with pytest.raises(NoRoom, match=r"(?s)others use 1300 MB.*lower XAIVA_VRAM_RESERVE_MB"):
            pool.lease("b", ModelSpec(lambda: GpuModel(gpu, 10), 3500 * MIB))


def test_where_nvml_names_no_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, costs: FakeCostStore) -> None:
    gpu = FakeGpu(tmp_path, monkeypatch, tells=False)  # inside a container
    pool = ModelPool(DeviceBudget(GpuMemory(), reserve=0), costs=costs)
    with pool.lease("a", ModelSpec(lambda: GpuModel(gpu, 900), 100 * MIB)):
        status = pool.status()
        assert (status.ours, status.others, status.drift) == (900 * MIB, 300 * MIB, None)
    pool.close()


def test_the_gpu_is_measured_again_after_an_eviction(gpu: FakeGpu, pool: ModelPool) -> None:
    pool.lease("a", ModelSpec(lambda: GpuModel(gpu, 3000), 3000 * MIB)).release()
    with pool.lease("b", ModelSpec(lambda: GpuModel(gpu, 4000), 4000 * MIB)):
        assert [one.key for one in pool.status().models] == ["b"]
        assert pool.status().ours == gpu.own * MIB == 4000 * MIB


def test_what_gives_its_memory_back_just_then_spoils_no_measurement(costs: FakeCostStore) -> None:
    """It is unknown whether the closing model's memory is back already: the declared memory stays charged."""
    memory = FakeDevice(total=1000)
    budget = MemoryBudget(DeviceBudget(memory, 0), costs)

    def load(key: str, size: int) -> None:
        assert budget.charge(key, 100) is None
        budget.begin_load()
        memory.take(size)

    load("old", 300)
    budget.end_load("old")
    load("new", 200)
    budget.begin_close("old")
    memory.take(-300)
    budget.end_load("new")  # a moment before the other one is dropped
    budget.drop("old")
    assert budget.cost("new") == 100
    assert costs.stored == {("old", memory.name): 300}


def test_a_driver_that_hangs_leaves_the_last_figures(gpu: FakeGpu) -> None:
    device = GpuMemory()
    before = device.read()
    device._sampler._deadline = 0.2
    gpu.nvml.say(*GPU, "hang all")
    assert device.read() == replace(before, fresh=False)
    device.close()


def test_a_driver_that_hangs_meanwhile_measures_nothing(gpu: FakeGpu, costs: FakeCostStore) -> None:
    """Its old figures would say that the model costs nothing, now and after every restart."""

    class Late(GpuModel):
        def load(self) -> None:
            super().load()
            gpu.nvml.say(*GPU, "hang all")

    device = GpuMemory()
    device._sampler._deadline = 0.2
    pool = ModelPool(DeviceBudget(device, reserve=0), costs=costs)
    pool.lease("a", ModelSpec(lambda: Late(gpu, 900), 100 * MIB))
    assert (model_status(pool, "a").cost, model_status(pool, "a").measured, costs.stored) == (100 * MIB, False, {})
    pool.close()


@pytest.mark.parametrize(
    ("visible", "used"), [(None, 1), ("0", 1), ("1", 2), ("1,0", 2), ("GPU-", 0), ("", 0), ("-1", 0), ("7", 0)]
)
def test_which_gpu_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, used: int) -> None:
    nvml = FakeNvml(tmp_path, "gpu gtx1060", "gpu rtx4090", f"used 0 {1 * MIB}", f"used 1 {2 * MIB}")
    for name, value in nvml.env.items():
        monkeypatch.setenv(name, value)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    budget = find_device_budget(gpu=True, vram_reserve=5, memory_budget=100)
    if used:
        assert budget.device.read().used == used * MIB
        assert budget.reserve == 5
    else:
        assert (budget.device.name, budget.reserve, budget.device.read().total) == ("memory", 0, 100)
    budget.device.close()


def test_a_machine_without_nvml_counts_memory() -> None:
    child = get_context("spawn").Process(target=_count_memory)  # what other tests free would be measured in this one
    child.start()
    child.join()
    assert child.exitcode == 0


def _count_memory() -> None:
    assert find_device_budget(gpu=False, vram_reserve=0, memory_budget=0).device.read().total > 0

    class Block:
        def __init__(self) -> None:
            self.bytes = b""

        def load(self) -> None:
            self.bytes = os.urandom(1) * (256 * MIB)

        def close(self) -> None:
            self.bytes = b""

    before = HostMemory(1).read().used
    pool = ModelPool(DeviceBudget(HostMemory(400 * MIB), 0), costs=FakeCostStore())
    lease = pool.lease("block", ModelSpec(Block, 10 * MIB))
    assert lease.cost == pytest.approx(256 * MIB, rel=0.1)
    assert pool.status().drift == pytest.approx(0, abs=32 * MIB)
    with pytest.raises(NoRoom, match=r"(?s)left of 400 MB on memory.*raise XAIVA_MEMORY_BUDGET_MB"):
        pool.lease("second", ModelSpec(Block, 256 * MIB))
    lease.release()
    pool.lease("second", ModelSpec(Block, 256 * MIB)).release()
    assert pool.status().ours == pytest.approx(256 * MIB, rel=0.1)
    pool.close()
    assert HostMemory(1).read().used < before + 128 * MIB


def test_a_container_s_limit_counts(tmp_path: Path) -> None:
    memory = HostMemory(MIB, tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text(f"{100 * MIB}\n")
    (tmp_path / "memory.stat").write_text(f"anon {40 * MIB}\nfile {60 * MIB}\ninactive_file 0\n")
    unlimited = memory.read().free
    (tmp_path / "memory.max").write_text(f"{150 * MIB}\n")
    assert memory.read().free == 50 * MIB < unlimited
    (tmp_path / "memory.stat").write_text(f"anon {40 * MIB}\nfile {60 * MIB}\ninactive_file {30 * MIB}\n")
    assert memory.read().free == 80 * MIB  # written clips are cached, and the cache gives way


def test_costs_survive_a_restart(database_url: str) -> None:
    memory = FakeDevice(total=1000)
    for declared, counted in ((100, 100), (5, 300)):
        database = Database(database_url)
        budget = MemoryBudget(DeviceBudget(memory, 0), DatabaseCosts(database))
        assert budget.charge("a", declared) is None
        assert budget.cost("a") == counted
        budget.begin_load()
        memory.take(300)
        budget.end_load("a")
        memory.take(-300)
        database.close()


def test_a_store_that_fails_keeps_no_model_from_loading(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def get(self, key: str, device: str) -> int | None:
            raise OSError("disk")

        def put(self, key: str, device: str, cost: int) -> None:
            raise OSError("disk")

    budget = MemoryBudget(DeviceBudget(FakeDevice(total=1000), 0), Broken())
    assert budget.charge("a", 10) is None
    budget.begin_load()
    budget.end_load("a")
    assert "cannot be read" in caplog.text
    assert "cannot be stored" in caplog.text
