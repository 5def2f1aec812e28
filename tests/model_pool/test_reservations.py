"""Memory reserved for jobs: it counts as used, evicts idle models, waits with a reason, and lets cameras go first."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import core.inference.model_pool
from core.api_schema import LedgerStatus
from core.inference.model_pool.devices import DeviceBudget, HostMemory, MemoryReading
from core.inference.model_pool.load_errors import NoRoom
from core.inference.model_pool.memory_budget import MemoryBudget, Reservation
from core.inference.model_pool.pool import ModelPool, ModelSpec
from tests.model_pool.fakes import MIB, FakeCostStore, FakeDevice, FakeModel
from tests.support import until
from tests.support.race import preempted, together

MODEL_POOL = Path(core.inference.model_pool.__file__).parent
INDEX = "job 12 (index normal)"


def spec(memory: FakeDevice, size: int) -> ModelSpec[FakeModel]:
    return ModelSpec(lambda: FakeModel(memory, size * MIB), size * MIB)


def job(size: int, *, key: str = "a", owner: str = INDEX, model: str = "encoder", pid: int = 0) -> Reservation:
    return Reservation(key, owner, model, size * MIB, pid)


def states(status: LedgerStatus) -> dict[str, tuple[str, int]]:
    return {model.key: (model.state, model.cost // MIB) for model in status.models}


def test_a_reservation_is_used_memory_until_it_is_released(memory: FakeDevice, pool: ModelPool) -> None:
    assert pool.reserve(job(600)) == ""
    status = pool.status()
    assert states(status) == {f"{INDEX}: encoder": ("reserved", 600)}
    assert (status.ours, status.free, status.drift) == (600 * MIB, 300 * MIB, 0)
    with pytest.raises(NoRoom, match=r"in use: job 12 \(index normal\): encoder 600 MB") as caught:
        pool.lease("street", spec(memory, 400))
    assert "wait for the job to end or cancel it" in caught.value.remedy
    pool.release_reservation("a")
    pool.release_reservation("a")
    pool.lease("street", spec(memory, 400)).release()


def test_idle_models_are_closed_for_a_job_and_used_ones_are_not(memory: FakeDevice, pool: ModelPool) -> None:
    pool.lease("idle", spec(memory, 300)).release()
    with pool.lease("onnx:street", spec(memory, 500)), pool.lease("onnx:street", spec(memory, 500)):
        assert pool.reserve(job(300)) == ""
        assert states(pool.status()) == {"onnx:street": ("ready", 500), f"{INDEX}: encoder": ("reserved", 300)}
        waits = pool.reserve(job(250, key="b", owner="job 13 (banks)", model="memory"))
    assert waits == (
        "waits for 250 MB on counted; used by onnx:street 500 MB (2 cameras), job 12 (index normal): encoder 300 MB"
    )


def test_a_job_that_waits_holds_no_memory(memory: FakeDevice, pool: ModelPool) -> None:
    with pool.lease("street", spec(memory, 500)):
        assert pool.reserve(job(600)).startswith("waits for 600 MB")
        with pool.lease("gate", spec(memory, 400)):
            assert pool.status().free == 0
    assert pool.reserve(job(600)) == ""  # both are idle now


def test_a_camera_whose_model_loads_goes_before_a_job(memory: FakeDevice, pool: ModelPool) -> None:
    go = threading.Event()
    slow = ModelSpec(lambda: FakeModel(memory, 100 * MIB, lambda: _wait(go)), 100 * MIB)
    camera = threading.Thread(target=lambda: pool.lease("street", slow))
    camera.start()
    until(lambda: states(pool.status()).get("street", ("", 0))[0] == "loading")
    assert pool.reserve(job(100)) == "waits until street is loaded"
    go.set()
    camera.join(20)
    assert pool.reserve(job(100)) == ""


def _wait(event: threading.Event) -> None:
    assert event.wait(20)


def test_a_job_that_can_never_fit_is_refused(pool: ModelPool) -> None:
    with pytest.raises(NoRoom, match="it needs 901 MB, and models may use 900 MB on counted"):
        pool.reserve(job(901))


def test_the_measured_cost_and_one_context_for_each_job_are_charged(
    memory: FakeDevice, pool: ModelPool, costs: FakeCostStore
) -> None:
    memory.context_bytes = 30 * MIB
    costs.stored["encoder", memory.name] = 200 * MIB
    assert pool.reserve(job(100)) == ""
    assert pool.reserve(job(50, key="b", model="memory")) == ""
    assert pool.reserve(job(50, key="c", owner="job 13 (banks)", model="memory")) == ""
    assert [pool.cost(key) // MIB for key in "abc"] == [230, 50, 80]


def test_what_a_job_has_loaded_is_not_counted_twice(memory: FakeDevice, pool: ModelPool) -> None:
    """The device's reading includes what the job's process uses; only the rest is still to come."""
    memory.used_by_pid[77] = memory.others = 50 * MIB
    assert pool.reserve(job(400, pid=77)) == ""
    assert pool.status().free == 450 * MIB  # 1000 - 50 - 400 - 100
    memory.used_by_pid[77] = memory.others = 450 * MIB
    assert (pool.status().free, pool.status().others) == (450 * MIB, 50 * MIB)


def test_restored_reservations_are_charged_before_the_first_lease(memory: FakeDevice, pool: ModelPool) -> None:
    pool.restore_reservation(job(1), 950 * MIB)
    with pytest.raises(NoRoom, match="encoder 950 MB"):
        pool.lease("street", spec(memory, 100))


def test_a_job_spoils_no_measurement_where_nvml_names_no_processes(costs: FakeCostStore) -> None:
    class Nameless(FakeDevice):
        def read(self) -> MemoryReading:
            reading = super().read()
            return MemoryReading(total=reading.total, used=reading.used, free=reading.free, own=None)

    memory = Nameless(total=1000)
    budget = MemoryBudget(DeviceBudget(memory, 0), costs)
    assert budget.charge("street", 100) is None
    budget.begin_load()
    assert budget.charge_reservation(Reservation("a", INDEX, "encoder", 300, 0)) is None
    memory.take(90)
    memory.others = 300
    budget.end_load("street")
    assert (budget.cost("street"), costs.stored) == (100, {})
    assert budget.status([]).others == 0


def test_a_child_s_memory_is_no_drift_of_the_service() -> None:
    pool = ModelPool(DeviceBudget(HostMemory(4000 * MIB), 0), costs=FakeCostStore())
    before = pool.status().drift
    assert pool.reserve(job(3000)) == ""
    assert pool.status().drift == pytest.approx(before, abs=32 * MIB)
    pool.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_cameras_and_jobs_at_once_never_exceed_the_budget(seed: int) -> None:
    memory = FakeDevice(total=1000 * MIB)
    pool = ModelPool(DeviceBudget(memory, reserve=100 * MIB), costs=FakeCostStore())

    def work(number: int) -> None:
        for turn in range(15 if number % 2 else 3):
            if number % 2:
                try:
                    pool.lease(f"m{(number + turn) % 4}", spec(memory, 150 + 50 * (turn % 3))).release()
                except NoRoom:
                    continue
            else:
                asked = job(200, key=f"{number}", owner=f"job {number}")
                until(lambda asked=asked: pool.reserve(asked) == "")  # type: ignore[misc]
                memory.take(200 * MIB)
                memory.take(-200 * MIB)
                pool.release_reservation(f"{number}")

    with preempted(MODEL_POOL, seed):
        together(8, work)
    status = pool.status()
    assert memory.highest <= 900 * MIB
    assert status.ours == memory.used
    pool.close()
