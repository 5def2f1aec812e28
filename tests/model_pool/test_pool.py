"""The pool: created once, waited for, evicted when idle, refused with the numbers, never stuck."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import core.inference.model_pool
from core.errors import XaivaError
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.load_errors import LoadFailed, NoRoom
from core.inference.model_pool.pool import Lease, ModelPool, ModelSpec, PoolTimes
from core.inference.models.detector import Sample
from core.inference.models.motion_detector import MotionDetector
from core.inference.models.scorer import Scorer
from tests.model_pool.fakes import MIB, FakeCostStore, FakeDevice, FakeModel, FakeSample
from tests.support import until
from tests.support.race import preempted, together

MODEL_POOL = Path(core.inference.model_pool.__file__).parent


def spec(
    memory: FakeDevice, size: int, *, pinned: bool = False, wait: Callable[[], None] = lambda: None
) -> ModelSpec[FakeModel]:
    return ModelSpec(lambda: FakeModel(memory, size * MIB, wait), size * MIB, pinned=pinned)


def state(pool: ModelPool, key: str) -> str:
    return next((model.state for model in pool.status().models if model.key == key), "")


def test_one_instance_serves_all_leases(pool: ModelPool, memory: FakeDevice) -> None:
    first = pool.lease("a", spec(memory, 100))
    again = pool.lease("a", spec(memory, 100))  # the same thread may
    assert again.model is first.model
    assert memory.used == 100 * MIB
    assert pool.status().models[0].leases == 2
    first.release()
    first.release()
    assert pool.status().models[0].leases == 1
    again.release()
    assert state(pool, "a") == "idle"
    assert memory.used == 100 * MIB  # kept until somebody needs the room


def test_a_lease_of_a_detector_is_a_scorer(memory: FakeDevice) -> None:
    pool = ModelPool(DeviceBudget(HostMemory(), 0), costs=FakeCostStore())
    scorer: Scorer = pool.lease("motion", ModelSpec(MotionDetector, MIB))
    picture = np.zeros((scorer.height, scorer.width), np.uint8)
    assert scorer.submit(Sample("gate", picture, 0.0)).result(10) == 0.0
    assert (scorer.key, scorer.pixel_format) == ("motion", "gray")
    scorer.release()
    pool.close()


def test_other_keys_go_on_while_one_loads_and_waiters_get_the_same_model(memory: FakeDevice, pool: ModelPool) -> None:
    go, began = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert go.wait(20)

    leases: list[Lease[FakeModel]] = []
    threads = [
        threading.Thread(target=lambda: leases.append(pool.lease("slow", spec(memory, 100, wait=wait))))
        for _ in range(8)
    ]
    pool.lease("quick", spec(memory, 50)).release()
    for thread in threads:
        thread.start()
    assert began.wait(20)
    with pool.lease("quick", spec(memory, 50)) as quick:
        assert quick.submit(FakeSample("gate", 0.5)).result(10) == 0.5
        assert state(pool, "slow") == "loading"
    assert not leases
    go.set()
    for thread in threads:
        thread.join(20)
    assert len({id(lease.model) for lease in leases}) == 1
    assert leases[0].model.loaded == 1


def test_a_failed_load_says_why_to_all_and_is_tried_anew(memory: FakeDevice, pool: ModelPool) -> None:
    waiting = threading.Barrier(9)
    fail = [True]

    def wait() -> None:
        waiting.wait(20)
        until(lambda: len(pool._changed._waiters) == 7)  # type: ignore[attr-defined]  # the others wait for this load
        if fail[0]:
            raise XaivaError("Model a.onnx", "there is no such file", "put it there")

    failed: list[LoadFailed] = []

    def lease(number: int) -> None:
        if number == 8:
            waiting.wait(20)
            return
        if number:
            until(lambda: state(pool, "a") == "loading")
            waiting.wait(20)
        with pytest.raises(LoadFailed) as caught:
            pool.lease("a", spec(memory, 100, wait=wait))
        failed.append(caught.value)

    together(9, lease)
    assert len(failed) == 8
    assert len({id(error) for error in failed}) == 8  # no traceback of another thread's
    assert {error.why for error in failed} == {"there is no such file"}
    assert pool.status().models[0].why == "Model a.onnx: there is no such file"
    assert memory.used == 0
    assert pool.status().ours == 0
    with pool.lease("a", spec(memory, 100)) as lease_again:
        assert lease_again.model.loaded == 1
    assert state(pool, "a") == "idle"


def test_a_failed_load_that_nobody_tries_again_is_forgotten(memory: FakeDevice) -> None:
    pool = ModelPool(DeviceBudget(memory, 0), costs=FakeCostStore(), times=PoolTimes(failure_shown=0))
    with pytest.raises(LoadFailed):
        pool.lease("a", ModelSpec(lambda: FakeModel(1 / 0, 1), MIB))  # type: ignore[arg-type]
    assert state(pool, "a") == ""
    pool.close()


def test_a_make_that_breaks_is_told_in_words(pool: ModelPool) -> None:
    with pytest.raises(LoadFailed, match="ZeroDivisionError"):
        pool.lease("a", ModelSpec(lambda: FakeModel(1 / 0, 1), MIB))  # type: ignore[arg-type]
    assert state(pool, "a") == "failed"


def test_the_least_recently_used_idle_model_goes_first(memory: FakeDevice, pool: ModelPool) -> None:
    for key in ("old", "new", "used"):
        pool.lease(key, spec(memory, 250)).release()
    pool.lease("old", spec(memory, 250)).release()  # used again: no longer the oldest
    with pool.lease("used", spec(memory, 250)), pool.lease("big", spec(memory, 350)):
        assert {model.key for model in pool.status().models} == {"old", "used", "big"}
        assert memory.used == 850 * MIB


def test_who_needs_what_is_closing_waits_for_its_end(memory: FakeDevice, pool: ModelPool, costs: FakeCostStore) -> None:
    closing, go = threading.Event(), threading.Event()

    class Slow(FakeModel):
        def close(self) -> None:
            closing.set()
            assert go.wait(20)
            super().close()

    first = pool.lease("a", ModelSpec(lambda: Slow(memory, 600 * MIB), 600 * MIB))
    first.release()
    got: dict[int, Lease[FakeModel]] = {}

    def lease(number: int) -> None:
        if number == 0:
            pool.lease("b", spec(memory, 400)).release()  # "a" has to go for it
            return
        assert closing.wait(20)
        if number == 3:
            until(lambda: state(pool, "c") == "loading")
            go.set()
        elif number == 2:
            got[2] = pool.lease("c", spec(memory, 400))
        else:
            got[1] = pool.lease("a", spec(memory, 100))

    costs.stored["a", memory.name] = 100 * MIB  # the next one is smaller
    together(4, lease)
    assert got[1].model is not first.model
    assert memory.used == 900 * MIB
    assert first.model.closed == 1


def test_no_more_models_go_than_need_to_and_none_when_it_would_not_help(memory: FakeDevice, pool: ModelPool) -> None:
    pool.lease("idle", spec(memory, 200)).release()
    pool.lease("pinned", spec(memory, 300, pinned=True)).release()
    with pool.lease("used", spec(memory, 300)), pytest.raises(NoRoom) as caught:
        pool.lease("big", spec(memory, 350))
    assert state(pool, "idle") == "idle"
    for words in ("needs 350 MB", "100 MB are left of 1000 MB", "100 MB are kept in reserve", "used 300 MB by 1"):
        assert words in caught.value.why
    assert state(pool, "big") == "failed"
    pool.lease("big", spec(memory, 300)).release()  # "idle" had to go, "pinned" did not
    assert state(pool, "pinned") == "idle"


def test_what_others_use_counts(memory: FakeDevice, pool: ModelPool) -> None:
    memory.others = 800 * MIB
    with pytest.raises(NoRoom, match="others use 800 MB"):
        pool.lease("a", spec(memory, 200))
    memory.others = 0
    pool.lease("a", spec(memory, 200)).release()


def test_models_load_one_after_another(memory: FakeDevice, pool: ModelPool) -> None:
    """Each may cost less than it declares, so the next one waits until it is measured."""
    under_way: list[str] = []

    def load(key: str) -> Callable[[], None]:
        def check() -> None:
            under_way.append(key)
            until(lambda: all(state(pool, other) in ("loading", "ready", "idle") for other in "abc"))
            assert under_way.pop() == key
            assert not under_way

        return check

    together(
        3,
        lambda number: pool.lease(
            "abc"[number], ModelSpec(lambda: FakeModel(memory, 200 * MIB, load("abc"[number])), 500 * MIB)
        ),
    )
    assert {model.key: (model.cost, model.measured) for model in pool.status().models} == dict.fromkeys(
        "abc", (200 * MIB, True)
    )


def test_none_goes_when_others_use_what_it_would_give(memory: FakeDevice, pool: ModelPool) -> None:
    pool.lease("idle", spec(memory, 300)).release()
    memory.others = 650 * MIB  # half of the reserve with it
    with pytest.raises(NoRoom, match="0 MB are left"):
        pool.lease("a", spec(memory, 300))
    assert state(pool, "idle") == "idle"


def test_a_machine_without_threads_to_spare_holds_up_nobody(
    memory: FakeDevice, pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(LoadFailed, match="can't start new thread"):
            pool.lease("a", spec(memory, 100))
    assert (memory.used, pool.status().ours) == (0, 0)
    pool.lease("a", spec(memory, 100)).release()


def test_closing_closes_all_and_refuses_leases(memory: FakeDevice, pool: ModelPool) -> None:
    lease = pool.lease("a", spec(memory, 100))
    pool.close()
    assert memory.used == 0
    assert lease.submit(FakeSample("gate")).cancelled()
    lease.release()
    with pytest.raises(LoadFailed, match="stopping"):
        pool.lease("a", spec(memory, 100))


def test_models_that_hang_do_not_hold_up_the_end(memory: FakeDevice) -> None:
    """Three that never answer: the close gives up on all of them together, and leaves their memory alone."""
    never, asked = threading.Event(), threading.Semaphore(0)

    class Hanging(FakeModel):
        def score(self, batch: Sequence[FakeSample]) -> list[float]:
            asked.release()
            assert never.wait(60)
            return super().score(batch)

    pool = ModelPool(DeviceBudget(memory, 0), costs=FakeCostStore(), times=PoolTimes(stop=0.1))
    leases = [pool.lease(key, ModelSpec(lambda: Hanging(memory, MIB), MIB)) for key in "abc"]
    running = [lease.submit(FakeSample("gate")) for lease in leases]
    for _ in leases:
        assert asked.acquire(timeout=20)
    waiting = [lease.submit(FakeSample("gate")) for lease in leases]
    pool.close()
    assert all(future.cancelled() for future in waiting)
    assert not any(future.done() for future in running)
    assert [lease.model.closed for lease in leases] == [0, 0, 0]
    never.set()


def test_a_load_that_ends_after_the_close_is_closed(memory: FakeDevice) -> None:
    pool = ModelPool(DeviceBudget(memory, 0), costs=FakeCostStore())
    with pytest.raises(LoadFailed, match="stopping"):
        pool.lease("a", spec(memory, 100, wait=pool.close))
    assert memory.used == 0


KEYS = {"a": 200, "b": 300, "c": 400, "d": 250, "e": 100, "f": 350}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_32_threads(seed: int) -> None:
    """Whatever turns they take: one live instance a key, never over the budget, no lease of a closed model."""
    memory = FakeDevice(total=1000 * MIB)
    pool = ModelPool(DeviceBudget(memory, reserve=50 * MIB), costs=FakeCostStore())
    live = dict.fromkeys(KEYS, 0)
    models: list[FakeModel] = []
    refusals = loads = 0
    counting = threading.Lock()

    def loading(key: str, die: random.Random) -> Callable[[], None]:
        def check() -> None:
            nonlocal loads
            with counting:
                loads += 1
                live[key] += 1
                assert live[key] == 1, f"{key} is there twice"
            for _ in range(die.randrange(5)):
                time.sleep(0)
            if die.random() < 0.2:
                raise XaivaError(key, "it had a bad day")

        return check

    class Counted(FakeModel):
        def __init__(self, key: str, die: random.Random) -> None:
            super().__init__(memory, KEYS[key] * MIB, loading(key, die))
            self.key = key
            with counting:
                models.append(self)

        def close(self) -> None:
            with counting:
                live[self.key] -= 1
            time.sleep(0)
            super().close()

    def work(number: int) -> None:
        nonlocal refusals
        die = random.Random(seed * 1000 + number)
        if number == 31:  # somebody always looks on
            for _ in range(60):
                status = pool.status()
                assert 0 <= status.ours <= status.total - status.reserve
            return
        for turn in range(25):
            key = list(KEYS)[(turn // 2 + die.randrange(2)) % len(KEYS)]  # what all want moves on: the rest gets idle
            spec = ModelSpec(lambda key=key: Counted(key, die), KEYS[key] * MIB, max_batch=4, max_wait=0.001)  # type: ignore[misc]
            try:
                with pool.lease(key, spec) as lease:
                    assert lease.model.closed == 0
                    assert lease.submit(FakeSample(f"camera-{number}", turn)).result(30) == turn
                    assert lease.model.closed == 0
            except NoRoom:
                with counting:
                    refusals += 1
            except LoadFailed as error:
                if error.why != "it had a bad day":
                    raise

    with preempted(MODEL_POOL, seed):
        together(32, work)
    status = pool.status()
    assert memory.highest <= 950 * MIB
    assert status.ours == memory.used == sum(KEYS[key] * MIB for key, count in live.items() if count)
    assert all(model.leases == 0 for model in status.models)
    assert loads > len(KEYS), "nothing was ever evicted or failed: this hunted nothing"
    pool.close()
    assert memory.used == 0
    assert all(model.closed == 1 for model in models)


def test_the_hunter_finds_a_race(tmp_path: Path) -> None:
    """What it is worth: a counter without a lock loses counts under it."""
    source = tmp_path / "counter.py"
    source.write_text("total = 0\ndef count():\n    global total\n    now = total\n    total = now + 1\n")
    counter: dict[str, object] = {}
    exec(compile(source.read_text(), str(source), "exec"), counter)
    with preempted(tmp_path, 1):
        together(8, lambda _: [counter["count"]() for _ in range(50)])  # type: ignore[operator,func-returns-value]
    assert counter["total"] != 400
