"""One dispatcher a model: batches, turns between cameras, failures of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future

import pytest

from core.errors import XaivaError
from core.inference.model_pool.dispatcher import MAX_WAITING, Dispatcher, ModelBusy
from tests.model_pool.fakes import FakeSample


class FakeScoring:
    """Scores by `value`; keeps the batches. While `go` is clear it holds the batch it has just taken."""

    def __init__(self) -> None:
        self.batches: list[list[FakeSample]] = []
        self.log: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.taken = threading.Semaphore(0)

    def score(self, batch: Sequence[FakeSample]) -> list[float]:
        self.batches.append(list(batch))
        self.log += [f"{ask.camera}={ask.value}" for ask in batch]
        self.taken.release()
        assert self.go.wait(20)
        if any(ask.value < 0 for ask in batch):
            raise ValueError("negative")
        return [ask.value for ask in batch if ask.value != 13]  # 13: a model that loses one

    def forget(self, camera: str) -> None:
        self.log.append(f"forget {camera}")
        if camera == "bad":
            raise ValueError("bad camera")


@pytest.fixture
def model() -> FakeScoring:
    return FakeScoring()


@pytest.fixture
def dispatcher(model: FakeScoring) -> Iterator[Dispatcher[FakeSample]]:
    dispatcher = Dispatcher[FakeSample]("model", model.score, model.forget, max_batch=4, max_wait=0.02)
    yield dispatcher
    model.go.set()
    assert dispatcher.stop()


def held(dispatcher: Dispatcher[FakeSample], model: FakeScoring) -> Future[float]:
    """A first batch that is held: what is submitted now waits together."""
    model.go.clear()
    first = dispatcher.submit(FakeSample("first"))
    assert model.taken.acquire(timeout=20)
    return first


def test_cameras_that_wait_share_a_batch(dispatcher: Dispatcher[FakeSample], model: FakeScoring) -> None:
    held(dispatcher, model)
    futures = [dispatcher.submit(FakeSample(f"camera-{number}", number)) for number in range(8)]
    model.go.set()
    assert [future.result(10) for future in futures] == list(range(8))
    assert [len(batch) for batch in model.batches] == [1, 4, 4]
    assert dispatcher.figures().batch == 3


def test_one_busy_camera_does_not_starve_15(dispatcher: Dispatcher[FakeSample], model: FakeScoring) -> None:
    held(dispatcher, model)
    busy = [dispatcher.submit(FakeSample("busy", number)) for number in range(MAX_WAITING)]
    others = [dispatcher.submit(FakeSample(f"camera-{number}")) for number in range(15)]
    model.go.set()
    for future in [*busy, *others]:
        future.result(10)
    first_four = [ask.camera for batch in model.batches[1:5] for ask in batch]
    assert sorted(first_four) == sorted(["busy", *(f"camera-{number}" for number in range(15))])
    assert [ask.value for batch in model.batches for ask in batch if ask.camera == "busy"] == list(range(MAX_WAITING))


def test_a_camera_that_asks_too_fast_is_told(dispatcher: Dispatcher[FakeSample], model: FakeScoring) -> None:
    held(dispatcher, model)
    waiting = [dispatcher.submit(FakeSample("busy")) for _ in range(MAX_WAITING)]
    with pytest.raises(ModelBusy, match="8 of its pictures are already waiting"):
        dispatcher.submit(FakeSample("busy")).result(0)
    other = dispatcher.submit(FakeSample("other", 7))
    model.go.set()
    assert other.result(10) == 7
    assert [future.result(10) for future in waiting] == [0] * MAX_WAITING


def test_a_batch_waits_for_no_more_than_may_come(dispatcher: Dispatcher[FakeSample], model: FakeScoring) -> None:
    slow = Dispatcher[FakeSample]("slow", model.score, model.forget, max_batch=4, max_wait=3600)
    slow.set_callers(1)
    assert slow.submit(FakeSample("only", 3)).result(10) == 3
    slow.set_callers(2)
    waits = slow.submit(FakeSample("one", 1))
    assert not waits.done()
    assert slow.submit(FakeSample("two", 2)).result(10) == 2  # both cameras wait: nobody else can come
    assert waits.result(10) == 1
    waits = slow.submit(FakeSample("one", 1))
    slow.set_callers(1)  # the other one's lease ends
    assert waits.result(10) == 1
    assert [len(batch) for batch in model.batches] == [1, 2, 1]
    slow.stop()


def test_a_batch_does_not_wait_for_ever(dispatcher: Dispatcher[FakeSample]) -> None:
    dispatcher.set_callers(16)
    assert dispatcher.submit(FakeSample("alone", 5)).result(10) == 5


def test_a_failure_is_that_batch_s_alone(dispatcher: Dispatcher[FakeSample], model: FakeScoring) -> None:
    held(dispatcher, model)
    bad = [dispatcher.submit(FakeSample(f"bad-{number}", -1)) for number in range(4)]
    good = [dispatcher.submit(FakeSample(f"good-{number}", number)) for number in range(4)]
    model.go.set()
    for future in bad:
        with pytest.raises(ValueError, match="negative"):
            future.result(10)
    assert [future.result(10) for future in good] == [0, 1, 2, 3]


def test_a_model_that_loses_scores_is_told(dispatcher: Dispatcher[FakeSample]) -> None:
    with pytest.raises(XaivaError, match="0 scores for 1 pictures"):
        dispatcher.submit(FakeSample("gate", 13)).result(10)


def test_what_was_cancelled_is_skipped(dispatcher: Dispatcher[FakeSample], model: FakeScoring) -> None:
    held(dispatcher, model)
    futures = [dispatcher.submit(FakeSample(f"camera-{number}", number)) for number in range(6)]
    assert futures[1].cancel()
    model.go.set()
    assert [future.result(10) for future in futures if not future.cancelled()] == [0, 2, 3, 4, 5]
    assert "camera-1=1" not in model.log


def test_forgetting_keeps_its_place(dispatcher: Dispatcher[FakeSample], model: FakeScoring) -> None:
    held(dispatcher, model)
    dispatcher.submit(FakeSample("a", 1))
    dispatcher.forget("a")
    last = dispatcher.submit(FakeSample("a", 2))
    dispatcher.forget("bad")
    other = dispatcher.submit(FakeSample("b", 3))
    model.go.set()
    assert last.result(10) == 2
    assert other.result(10) == 3
    mine = [line for line in model.log if line[0] == "a" or line == "forget a"]
    assert mine == ["a=1", "forget a", "a=2"]


def test_stopping_cancels_what_waits(dispatcher: Dispatcher[FakeSample], model: FakeScoring) -> None:
    running = held(dispatcher, model)
    waiting = dispatcher.submit(FakeSample("gate"))
    stopper = threading.Thread(target=dispatcher.stop)
    stopper.start()
    with pytest.raises(CancelledError):
        waiting.result(10)
    model.go.set()
    stopper.join(10)
    assert running.result(10) == 0
    assert dispatcher.submit(FakeSample("gate")).cancelled()
