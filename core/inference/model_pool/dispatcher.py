"""One thread for each model: batches the cameras' samples, fairly."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from core.errors import XaivaError

logger = logging.getLogger(__name__)

MAX_WAITING = 8  # samples of one camera; its pipeline submits one at a time
KEPT_BATCHES = 64  # for the throughput figures
IDLE_RATE_SECONDS = 10.0  # without a batch, after which the rate is 0
STOP_SECONDS = 4.0


class ModelBusy(XaivaError):
    """A camera submits samples faster than its model scores them."""


class CameraSample(Protocol):
    """A sample that names its camera."""

    @property
    def camera(self) -> str: ...


SampleT = TypeVar("SampleT", bound=CameraSample)


@dataclass
class _QueuedSample(Generic[SampleT]):
    """A waiting sample; without a sample, a request to forget the camera at this point of its queue."""

    camera: str
    sample: SampleT | None = None
    future: Future[float] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class ThroughputFigures:
    """Figures of the newest batches."""

    rate: float = 0  # samples a second
    wait: float | None = None  # mean seconds from submission to score
    batch: float | None = None  # mean samples in a batch


class Dispatcher(Generic[SampleT]):
    """Calls `score` in its own thread with up to `max_batch` samples, and waits at most `max_wait` s to fill a batch.

    Cameras take turns: a batch contains one sample of every waiting camera before a second one of any. It is not
    delayed when all callers wait. An error of `score` fails only its batch.
    """

    def __init__(
        self,
        name: str,
        score: Callable[[Sequence[SampleT]], list[float]],
        forget: Callable[[str], None],
        *,
        max_batch: int,
        max_wait: float,
    ) -> None:
        self._name = name
        self._score = score
        self._forget = forget
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._callers = 0
        self._queues: dict[str, deque[_QueuedSample[SampleT]]] = {}  # by camera, in the order of their turns
        self._stopped = False
        self._changed = threading.Condition(threading.Lock())
        self._batches: deque[tuple[float, int, float]] = deque(
            maxlen=KEPT_BATCHES
        )  # end, samples, total seconds of waiting
        self._thread = threading.Thread(target=self._run, name=f"score-{name}", daemon=True)
        self._thread.start()

    def set_callers(self, callers: int) -> None:
        """Set how many cameras may submit at the same time."""
        with self._changed:
            self._callers = callers
            self._changed.notify()

    def submit(self, sample: SampleT) -> Future[float]:
        """The future score; see `Scorer.submit`."""
        entry = _QueuedSample(sample.camera, sample)
        with self._changed:
            if self._stopped:
                entry.future.cancel()
                return entry.future
            waiting = self._queues.setdefault(sample.camera, deque())
            if len(waiting) < MAX_WAITING:
                waiting.append(entry)
                self._changed.notify()
                return entry.future
        why = f"{MAX_WAITING} of its pictures are already waiting for {self._name}"
        entry.future.set_exception(ModelBusy(f"Camera {sample.camera}", why, "lower the camera's fps"))
        return entry.future

    def forget(self, camera: str) -> None:
        """Forget the camera after the samples submitted so far and before the next ones."""
        with self._changed:
            if not self._stopped:
                self._queues.setdefault(camera, deque()).append(_QueuedSample(camera))
                self._changed.notify()

    def signal_stop(self) -> None:
        """Accept no more samples, and cancel the waiting ones."""
        with self._changed:
            self._stopped = True
            lines, self._queues = self._queues, {}
            self._changed.notify()
        for line in lines.values():
            for entry in line:
                entry.future.cancel()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Stop, and wait for the batch under way. Returns False when `score` still hangs after `seconds`."""
        self.signal_stop()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def figures(self) -> ThroughputFigures:
        with self._changed:
            batches = list(self._batches)
        now = time.monotonic()
        if len(batches) < 2:
            return ThroughputFigures()
        samples = sum(count for _, count, _ in batches)
        waited = sum(seconds for _, _, seconds in batches)
        seconds = now - batches[0][0]
        fresh = now - batches[-1][0] < IDLE_RATE_SECONDS
        rate = (samples - batches[0][1]) / seconds if fresh and seconds > 0 else 0.0
        return ThroughputFigures(rate, waited / samples, samples / len(batches))

    def _run(self) -> None:
        while (work := self._wait_for_batch()) is not None:
            forgotten, batch = work
            for camera in forgotten:
                self._call_forget(camera)
            if batch:
                self._score_batch(batch)

    def _wait_for_batch(self) -> tuple[list[str], list[_QueuedSample[SampleT]]] | None:
        """The cameras to forget first, and the next batch; None after a stop."""
        with self._changed:
            while not self._queues and not self._stopped:
                self._changed.wait()
            until = min((line[0].since for line in self._queues.values()), default=0.0) + self._max_wait
            while not self._stopped and not self._has_batch() and (remaining := until - time.monotonic()) > 0:
                self._changed.wait(remaining)
            return None if self._stopped else self._take_batch()

    def _has_batch(self) -> bool:
        waiting = len(self._queues)
        return waiting >= min(self._max_batch, self._callers) or sum(map(len, self._queues.values())) >= self._max_batch

    def _take_batch(self) -> tuple[list[str], list[_QueuedSample[SampleT]]]:
        """Take a batch in turns: a camera moves to the end after its sample was taken."""
        forgotten: list[str] = []
        batch: list[_QueuedSample[SampleT]] = []
        deferred: set[str] = set()  # cameras whose queue continues only after this batch
        while len(batch) < self._max_batch:
            camera = next((name for name in self._queues if name not in deferred), None)
            if camera is None:
                break
            line = self._queues.pop(camera)
            if line[0].sample is not None:
                entry = line.popleft()
                if entry.future.set_running_or_notify_cancel():
                    batch.append(entry)
            elif any(entry.camera == camera for entry in batch):
                deferred.add(camera)
            else:
                line.popleft()
                forgotten.append(camera)
            if line:
                self._queues[camera] = line
        return forgotten, batch

    def _score_batch(self, batch: Sequence[_QueuedSample[SampleT]]) -> None:
        try:
            scores = self._score([entry.sample for entry in batch if entry.sample is not None])
            if len(scores) != len(batch):
                why = f"it gave {len(scores)} scores for {len(batch)} pictures"
                raise XaivaError(f"Model {self._name}", why, "see the log: the model does not do what it declares")
        except BaseException as error:
            for entry in batch:
                entry.future.set_exception(error)
        else:
            for entry, score in zip(batch, scores, strict=True):
                entry.future.set_result(score)
        ended = time.monotonic()
        waited = sum(ended - entry.since for entry in batch)
        with self._changed:
            self._batches.append((ended, len(batch), waited))

    def _call_forget(self, camera: str) -> None:
        try:
            self._forget(camera)
        except Exception:  # a model's fault must not stop the cameras
            logger.exception("%s: forgetting camera %s failed", self._name, camera)
