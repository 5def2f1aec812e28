"""The model pool: one instance for each key, leased by many cameras, and closed when idle to make room."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from core.api_schema import LedgerStatus, ModelStatus
from core.errors import XaivaError
from core.inference.model_pool import load_errors
from core.inference.model_pool.devices import DeviceBudget
from core.inference.model_pool.dispatcher import STOP_SECONDS, CameraSample, Dispatcher, ThroughputFigures
from core.inference.model_pool.memory_budget import CostStore, MemoryBudget, Reservation, Shortage

logger = logging.getLogger(__name__)


class Loadable(Protocol):
    """A model that the pool can hold."""

    def load(self) -> None:
        """Take all memory that the model will need: load it, and run it once with the largest batch.

        Must not lease another model. Raises XaivaError.
        """

    def close(self) -> None:
        """Release all memory; also called after a failed `load`."""


@runtime_checkable
class ScoringModel(Protocol):
    """A model that scores samples in batches, through a dispatcher."""

    width: int
    height: int
    pixel_format: str

    def score(self, batch: Sequence[Any]) -> list[float]: ...

    def forget(self, camera: str) -> None: ...


T = TypeVar("T", bound=Loadable)


@dataclass(frozen=True)
class ModelSpec(Generic[T]):
    """How a model is created."""

    make: Callable[[], T]  # quick, and takes no memory of the device
    declared: int  # bytes that are charged until the model was measured
    pinned: bool = False  # never closed while idle
    max_batch: int = 8  # of a scoring model
    max_wait: float = 0.01  # seconds that a scoring model waits to fill a batch


@dataclass(frozen=True)
class PoolTimes:
    """Times of the pool, in seconds."""

    stop: float = STOP_SECONDS  # that closing waits for hanging models
    failure_shown: float = 600  # that the status shows a failed load


class _ModelState(str, Enum):
    LOADING = "loading"
    READY = "ready"
    CLOSING = "closing"
    FAILED = "failed"


class _PoolEntry(Generic[T]):
    """The state of one key."""

    def __init__(self, key: str, spec: ModelSpec[T]) -> None:
        self.key = key
        self.spec = spec
        self.state = _ModelState.LOADING
        self.model: T | None = None
        self.dispatcher: Dispatcher[Any] | None = None
        self.leases = 0
        self.idle_since = time.monotonic()
        self.failure: XaivaError | None = None

    @property
    def evictable(self) -> bool:
        return self.state is _ModelState.READY and not self.leases and not self.spec.pinned

    def count(self, change: int) -> None:
        """Change the number of leases by `change`."""
        self.leases += change
        if not self.leases:
            self.idle_since = time.monotonic()
        if self.dispatcher is not None:
            self.dispatcher.set_callers(self.leases)

    def status(self) -> ModelStatus:
        figures = self.dispatcher.figures() if self.dispatcher else ThroughputFigures()
        idle = self.state is _ModelState.READY and not self.leases
        return ModelStatus(
            key=self.key,
            state="idle" if idle else self.state.value,
            provider=str(getattr(self.model, "provider", "")),
            declared=self.spec.declared,
            pinned=self.spec.pinned,
            leases=self.leases,
            rate=round(figures.rate, 2),
            wait=figures.wait,
            batch=figures.batch,
            why=self.failure.summary if self.failure else "",
        )


class Lease(Generic[T]):
    """A share of a model, until `release`. For a scoring model it implements `Scorer`."""

    def __init__(self, pool: ModelPool, entry: _PoolEntry[T], model: T) -> None:
        self._pool = pool
        self._entry = entry
        self._active = True
        self.model = model
        self.key = entry.key

    def __enter__(self) -> Lease[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def width(self) -> int:
        return self._scoring.width

    @property
    def height(self) -> int:
        return self._scoring.height

    @property
    def pixel_format(self) -> str:
        return self._scoring.pixel_format

    @property
    def cost(self) -> int:
        """The model's memory in bytes, for all its cameras together."""
        return self._pool.cost(self.key)

    def submit(self, sample: CameraSample) -> Future[float]:
        """The future score; see `core.inference.models.scorer.Scorer`."""
        return self._dispatcher.submit(sample)

    def forget(self, camera: str) -> None:
        """Forget the camera after the samples submitted so far and before the next ones."""
        self._dispatcher.forget(camera)

    def release(self) -> None:
        """Release the lease; further calls do nothing."""
        self._pool.release(self)

    def take_entry(self) -> _PoolEntry[T] | None:
        """For the pool: the entry to count down, the first time."""
        active, self._active = self._active, False
        return self._entry if active else None

    @property
    def _scoring(self) -> ScoringModel:
        if not isinstance(self.model, ScoringModel):
            raise TypeError(f"{self.key} scores nothing")
        return self.model

    @property
    def _dispatcher(self) -> Dispatcher[Any]:
        if self._entry.dispatcher is None:
            raise TypeError(f"{self.key} scores nothing")
        return self._entry.dispatcher


class ModelPool:
    """Hands out leases of models. Thread-safe.

    The first lease of a key loads its model, and further leases of the key wait for it. Models load one after another,
    so that each one's memory can be measured; leases of loaded models never wait. When a model does not fit, idle
    models are closed for it, the one that was idle longest first, if that makes enough room. The memory of jobs, which
    load their models in processes of their own, is reserved here; a load always comes before a reservation.
    """

    def __init__(self, budget: DeviceBudget, *, costs: CostStore, times: PoolTimes | None = None) -> None:
        self._times = times or PoolTimes()
        self._budget = MemoryBudget(budget, costs)
        self._entries: dict[str, _PoolEntry[Any]] = {}
        self._changed = threading.Condition(threading.Lock())
        self._loading = threading.Lock()  # held while a model loads; taken before `_changed`
        self._closed = False

    def lease(self, key: str, spec: ModelSpec[T]) -> Lease[T]:
        """A share of the model `key`; blocks while it loads. `spec` is used when the key is not loaded.

        Raises NoRoom with the numbers, or LoadFailed. The next lease of a key that failed tries again.
        """
        while True:
            with self._changed:
                self._check_open(key)
                entry = self._entries.get(key)
                if entry is None or entry.state is _ModelState.FAILED:
                    entry = self._entries[key] = _PoolEntry(key, spec)
                    break
                if entry.state is _ModelState.READY:
                    entry.count(+1)
                    return Lease(self, entry, entry.model)
                self._wait_for(entry)
                if entry.failure is not None:
                    failure = entry.failure  # a copy: the traceback belongs to the thread that loaded
                    raise type(failure)(failure.what, failure.why, failure.remedy)
        with self._loading:
            return self._load(entry)

    def release(self, lease: Lease[Any]) -> None:
        """Count a lease down; `Lease.release` calls it."""
        with self._changed:
            entry = lease.take_entry()
            if entry is not None:
                entry.count(-1)

    def reserve(self, reservation: Reservation) -> str:
        """Charge the memory of a job. Returns an empty text when it is granted, otherwise what the job waits for.

        It closes idle models as a lease does, but never waits for a load: the caller asks again. Raises NoRoom when
        the job would not fit even if nothing else ran.
        """
        if not self._loading.acquire(blocking=False):
            return self._loading_reason()
        try:
            with self._changed:
                self._check_open(reservation.title)
            if reason := self._loading_reason(""):
                return reason
            charge = partial(self._budget.charge_reservation, reservation)
            if (shortage := self._make_room(reservation.title, charge)) is None:
                return ""
        finally:
            self._loading.release()
        if shortage.need > (limit := self._budget.limit):
            raise load_errors.never_fits_error(reservation, shortage, limit, self.status())
        return load_errors.waiting_reason(shortage, self.status())

    def restore_reservation(self, reservation: Reservation, cost: int) -> None:
        """Before the first lease: charge a job that got `cost` bytes from an earlier run of the service."""
        self._budget.restore_reservation(reservation, cost)

    def release_reservation(self, key: str) -> None:
        """The job has released its memory, or is gone; an unknown key is ignored."""
        self._budget.drop_reservation(key)

    def cost(self, key: str) -> int:
        """The memory of a model or a reservation in bytes; 0 when it is not loaded or charged."""
        return self._budget.cost(key)

    def status(self) -> LedgerStatus:
        """The status of every model and of the memory they share."""
        with self._changed:
            since = time.monotonic() - self._times.failure_shown
            for entry in list(self._entries.values()):
                if entry.state is _ModelState.FAILED and entry.idle_since <= since:
                    del self._entries[entry.key]
            entries = list(self._entries.values())
        return self._budget.status([entry.status() for entry in entries])

    def close(self) -> None:
        """Close every model, leased or not, within 4 s. A load under way closes its model when it ends."""
        with self._changed:
            self._closed = True
            ready = [entry for entry in self._entries.values() if entry.state is _ModelState.READY]
            for entry in ready:
                entry.state = _ModelState.CLOSING
        for entry in ready:
            if entry.dispatcher is not None:
                entry.dispatcher.signal_stop()
        deadline = time.monotonic() + self._times.stop
        for entry in ready:
            self._close(entry, max(0.0, deadline - time.monotonic()))
        self._budget.close()

    def _load(self, entry: _PoolEntry[T]) -> Lease[T]:
        """Load the entry's model. Only the thread that added the entry calls it, holding `_loading`."""
        charged = False
        model: T | None = None
        try:
            charge = partial(self._budget.charge, entry.key, entry.spec.declared)
            if (shortage := self._make_room(entry.key, charge)) is not None:
                raise load_errors.no_room_error(entry.key, shortage, self.status())
            charged = True
            model = entry.spec.make()
            self._budget.begin_load()
            model.load()
            self._budget.end_load(entry.key)
            dispatcher = _dispatcher(entry.spec, entry.key, model)
        except BaseException as error:
            if model is not None:
                _close_logged(entry.key, model)
            if charged:
                self._budget.drop(entry.key)
            failure = load_errors.load_failure(entry.key, error)
            with self._changed:
                entry.failure, entry.state, entry.idle_since = failure, _ModelState.FAILED, time.monotonic()
                self._changed.notify_all()
            if failure is error or not isinstance(error, Exception):
                raise
            raise failure from error
        return self._hand_out(entry, model, dispatcher)

    def _hand_out(self, entry: _PoolEntry[T], model: T, dispatcher: Dispatcher[Any] | None) -> Lease[T]:
        with self._changed:
            entry.model, entry.dispatcher = model, dispatcher
            entry.count(+1)
            entry.state = _ModelState.CLOSING if self._closed else _ModelState.READY
            self._changed.notify_all()
            if entry.state is _ModelState.READY:
                return Lease(self, entry, model)
        self._close(entry)
        raise load_errors.stopping_error(entry.key)

    def _make_room(self, title: str, charge: Callable[[], Shortage | None]) -> Shortage | None:
        """Charge; while it does not fit, close the model that was idle longest. The caller holds `_loading`.

        Returns what is missing when closing idle models does not help.
        """
        while (shortage := charge()) is not None:
            with self._changed:
                self._check_open(title)
                victim = self._victim(shortage)
                if victim is not None:
                    victim.state = _ModelState.CLOSING
            if victim is None:
                return shortage
            logger.info("%s is closed: it is idle, and %s needs its memory", victim.key, title)
            self._close(victim)
        return None

    def _loading_reason(self, unnamed: str = "waits until a model is loaded") -> str:
        """What a job waits for while cameras wait for their models; `unnamed` when none does."""
        with self._changed:
            loading = [entry.key for entry in self._entries.values() if entry.state is _ModelState.LOADING]
        return f"waits until {', '.join(loading)} is loaded" if loading else unnamed

    def _victim(self, shortage: Shortage) -> _PoolEntry[Any] | None:
        """The model that was idle longest; None when even closing all idle models would not make enough room."""
        idle = sorted(
            (entry for entry in self._entries.values() if entry.evictable), key=lambda entry: entry.idle_since
        )
        gain = sum(self._budget.cost(entry.key) for entry in idle)
        return idle[0] if idle and shortage.room + gain >= shortage.need else None

    def _close(self, entry: _PoolEntry[Any], seconds: float | None = None) -> None:
        """Close a model that is marked as closing, and remove its key."""
        self._budget.begin_close(entry.key)
        if entry.dispatcher is not None and not entry.dispatcher.stop(self._times.stop if seconds is None else seconds):
            logger.error("%s hangs while it scores; its memory is lost until the service starts again", entry.key)
        elif entry.model is not None:
            _close_logged(entry.key, entry.model)
        entry.model = None
        self._budget.drop(entry.key)
        with self._changed:
            del self._entries[entry.key]
            self._changed.notify_all()

    def _wait_for(self, entry: _PoolEntry[Any]) -> None:
        """Wait until the entry is loaded, failed or removed. The caller holds `_changed`."""
        before = entry.state
        while entry.state is before and self._entries.get(entry.key) is entry:
            self._changed.wait()

    def _check_open(self, key: str) -> None:
        if self._closed:
            raise load_errors.stopping_error(key)


def _dispatcher(spec: ModelSpec[Any], key: str, model: Loadable) -> Dispatcher[Any] | None:
    """A running dispatcher for a scoring model, None for others. Raises RuntimeError when no thread can be started."""
    if not isinstance(model, ScoringModel):
        return None
    return Dispatcher(key, model.score, model.forget, max_batch=spec.max_batch, max_wait=spec.max_wait)


def _close_logged(key: str, model: Loadable) -> None:
    try:
        model.close()
    except Exception:
        logger.exception("%s: closing failed", key)
