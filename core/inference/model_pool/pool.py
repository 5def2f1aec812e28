"""The pool: one instance per key, created once, leased by many, evicted when it is idle and others need the room."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from core.api_schema import LedgerStatus, ModelStatus
from core.errors import XaivaError
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.dispatcher import STOP_SECONDS, CameraSample, Dispatcher, ThroughputFigures
from core.inference.model_pool.memory_budget import CostStore, MemoryBudget, Shortage

logger = logging.getLogger(__name__)

MIB = 1024 * 1024
FAILURE_SHOWN_SECONDS = (
    600.0  # seconds after which a failed load is told of no more: who still wants the model tries again
)


class NoRoom(XaivaError):
    """The model does not fit next to those that are in use."""


class LoadFailed(XaivaError):
    """The model cannot be loaded."""


class Loadable(Protocol):
    """What the pool holds."""

    def load(self) -> None:
        """Take all memory it will ever need: load, and run once at the largest batch. Raises XaivaError."""

    def close(self) -> None:
        """Give everything back; also after a `load` that failed."""


@runtime_checkable
class ScoringModel(Protocol):
    """A model that scores samples in batches; it gets a dispatcher."""

    width: int
    height: int
    pixel_format: str

    def score(self, batch: Sequence[Any]) -> list[float]: ...

    def forget(self, camera: str) -> None: ...


T = TypeVar("T", bound=Loadable)


@dataclass(frozen=True)
class ModelSpec(Generic[T]):
    """How a model comes to be. `make` is quick and takes no memory of the device; `load` of what it gives does.

    `declared` bytes count until the model was measured once. A pinned model is never evicted. A scoring one gets up to
    `max_batch` samples at once and waits at most `max_wait` seconds for them.
    """

    make: Callable[[], T]
    declared: int
    pinned: bool = False
    max_batch: int = 8
    max_wait: float = 0.01


class _ModelState(str, Enum):
    LOADING = "loading"
    READY = "ready"
    CLOSING = "closing"
    FAILED = "failed"


class _PoolEntry(Generic[T]):
    """One key. `failure` is what everybody who waited for the load is told."""

    def __init__(self, key: str, spec: ModelSpec[T]) -> None:
        self.key = key
        self.spec = spec
        self.state = _ModelState.LOADING
        self.loader = threading.get_ident()
        self.model: T | None = None
        self.dispatcher: Dispatcher[Any] | None = None
        self.leases = 0
        self.idle_since = time.monotonic()
        self.failure: XaivaError | None = None

    @property
    def evictable(self) -> bool:
        return self.state is _ModelState.READY and not self.leases and not self.spec.pinned

    def count(self, change: int) -> None:
        """So many leases more."""
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
            why=f"{self.failure.what}: {self.failure.why}" if self.failure else "",
        )


class Lease(Generic[T]):
    """A share of a model, held until `release`. For a scoring model it is a `Scorer`."""

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
        """Of the pictures it wants, in pixels."""
        return self._scoring.width

    @property
    def height(self) -> int:
        """Of the pictures it wants, in pixels."""
        return self._scoring.height

    @property
    def pixel_format(self) -> str:
        """Of the pictures it wants, as libav names it."""
        return self._scoring.pixel_format

    @property
    def cost(self) -> int:
        """What the model holds, in bytes, for all its cameras together."""
        return self._pool.cost(self.key)

    def submit(self, sample: CameraSample) -> Future[float]:
        """The score to come; see `core.inference.models.scorer.Scorer`."""
        return self._dispatcher.submit(sample)

    def forget(self, camera: str) -> None:
        """Forget what was seen of that camera, in its place among what it submits."""
        self._dispatcher.forget(camera)

    def release(self) -> None:
        """Give the lease back; once is enough, more do no harm."""
        self._pool.release(self)

    def take_entry(self) -> _PoolEntry[T] | None:
        """The pool's own: the entry to count down, once."""
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
    """Hands out leases of models. Every method may be called from any thread.

    A key's first lease loads its model while other keys go on and further leases of the key wait for that load. A model
    whose load leases another one may do so. Without room the least recently used idle models go, if that is enough.
    """

    def __init__(self, budget: DeviceBudget, *, costs: CostStore) -> None:
        self._budget = MemoryBudget(budget, costs)
        self._entries: dict[str, _PoolEntry[Any]] = {}
        self._waiting: dict[int, _PoolEntry[Any]] = {}  # by thread: the load it waits for
        self._budget_changes = (
            0  # how often a load or a model came to its end: what there is room for is another thing then
        )
        self._changed = threading.Condition(threading.Lock())
        self._closed = False

    def lease(self, key: str, spec: ModelSpec[T]) -> Lease[T]:
        """A share of the model `key`; blocks while it loads. The spec counts when the key is not loaded.

        Raises NoRoom with the numbers, LoadFailed, and XaivaError when two models' loads wait for each other. A load
        that failed is tried anew by the next lease.
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
                    failure = entry.failure  # its own exception: the traceback of another thread is none of ours
                    raise type(failure)(failure.what, failure.why, failure.remedy)
        return self._load(entry)

    def release(self, lease: Lease[Any]) -> None:
        """Called by `Lease.release`."""
        with self._changed:
            entry = lease.take_entry()
            if entry is not None:
                entry.count(-1)

    def cost(self, key: str) -> int:
        """What a model holds, in bytes."""
        return self._budget.cost(key)

    def status(self) -> LedgerStatus:
        """Every model and the memory they share."""
        with self._changed:
            since = time.monotonic() - FAILURE_SHOWN_SECONDS
            expired = [
                entry.key
                for entry in self._entries.values()
                if entry.state is _ModelState.FAILED and entry.idle_since <= since
            ]
            for key in expired:
                del self._entries[key]
            entries = list(self._entries.values())
        return self._budget.status([entry.status() for entry in entries])

    def close(self) -> None:
        """Close every model, leased or not, in 4 s; a load under way is closed by whoever loads."""
        with self._changed:
            self._closed = True
            ready = [entry for entry in self._entries.values() if entry.state is _ModelState.READY]
            for entry in ready:
                entry.state = _ModelState.CLOSING
            self._changed.notify_all()
        for entry in ready:
            if entry.dispatcher is not None:
                entry.dispatcher.signal_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for entry in ready:
            self._close(entry, max(0.0, deadline - time.monotonic()))
        self._budget.close()

    # -- loading --------------------------------------------------------------------------------------------------

    def _load(self, entry: _PoolEntry[T]) -> Lease[T]:
        """Only the thread that put the entry there comes here, so the key is created once."""
        charged = False
        model: T | None = None
        try:
            self._make_room(entry)
            charged = True
            model = entry.spec.make()
            self._budget.begin_load(entry.key)
            model.load()
            self._budget.end_load(entry.key)
            dispatcher = _dispatcher(entry.spec, entry.key, model)
        except BaseException as error:
            if model is not None:
                _close_logged(entry.key, model)
            if charged:
                self._budget.drop(entry.key)
            failure = _load_failure(entry.key, error)
            with self._changed:
                entry.failure, entry.state, entry.idle_since = failure, _ModelState.FAILED, time.monotonic()
                self._notify_budget_changed()
            if failure is error or not isinstance(error, Exception):
                raise
            raise failure from error
        return self._hand_out(entry, model, dispatcher)

    def _hand_out(self, entry: _PoolEntry[T], model: T, dispatcher: Dispatcher[Any] | None) -> Lease[T]:
        with self._changed:
            entry.model, entry.dispatcher = model, dispatcher
            entry.count(+1)
            entry.state = _ModelState.CLOSING if self._closed else _ModelState.READY
            self._notify_budget_changed()
            if entry.state is _ModelState.READY:
                return Lease(self, entry, model)
        self._close(entry)
        raise _stopping_error(entry.key)

    def _make_room(self, entry: _PoolEntry[Any]) -> None:
        """Charge the model. As long as it does not fit, the model that was idle longest goes; then loads under way are
        waited for, which may cost less than they declare. Raises NoRoom."""
        while True:
            budget_changes = self._budget_changes
            shortage = self._budget.charge(entry.key, entry.spec.declared)
            if shortage is None:
                return
            with self._changed:
                self._check_open(entry.key)
                if budget_changes != self._budget_changes:
                    continue
                if any(other.state is _ModelState.CLOSING for other in self._entries.values()):
                    self._changed.wait()
                    continue
                victim = self._victim(shortage)
                if victim is not None:
                    victim.state = _ModelState.CLOSING
                elif (loading := self._charged_load()) is not None:
                    self._wait_for(loading)
                    continue
            if victim is None:
                raise _no_room_error(entry.key, shortage, self.status())
            logger.info("%s goes: it is idle and %s needs room", victim.key, entry.key)
            self._close(victim)

    def _victim(self, shortage: Shortage) -> _PoolEntry[Any] | None:
        """The model that was idle longest; None when even all that are idle would not make enough room."""
        idle = sorted((entry for entry in self._entries.values() if entry.evictable), key=lambda one: one.idle_since)
        gain = sum(self._budget.cost(one.key) for one in idle)
        return idle[0] if idle and shortage.room + gain >= shortage.need else None

    def _charged_load(self) -> _PoolEntry[Any] | None:
        """A model that is being loaded by a thread that does not wait for this one; those without room do not count."""
        me = threading.get_ident()
        loading = (
            one for one in self._entries.values() if one.state is _ModelState.LOADING and self._budget.cost(one.key)
        )
        return next((one for one in loading if not self._circular(one, me)), None)

    def _close(self, entry: _PoolEntry[Any], seconds: float = STOP_SECONDS) -> None:
        """Close a model that is marked as closing, and forget its key."""
        self._budget.begin_close(entry.key)
        if entry.dispatcher is not None and not entry.dispatcher.stop(seconds):
            logger.error("%s hangs while it scores; its memory is lost until the service starts again", entry.key)
        elif entry.model is not None:
            _close_logged(entry.key, entry.model)
        entry.model = None
        self._budget.drop(entry.key)
        with self._changed:
            del self._entries[entry.key]
            self._notify_budget_changed()

    def _notify_budget_changed(self) -> None:
        self._budget_changes += 1
        self._changed.notify_all()

    # -- waiting --------------------------------------------------------------------------------------------------

    def _wait_for(self, entry: _PoolEntry[Any]) -> None:
        """Until the entry is loaded, failed or gone. Raises XaivaError when this thread would wait for itself."""
        me = threading.get_ident()
        if entry.state is _ModelState.LOADING:
            if self._circular(entry, me):
                why = "its load waits for a model whose load waits for it"
                raise XaivaError(f"Model {entry.key}", why, "let one of them do without the other")
            self._waiting[me] = entry
        try:
            before = entry.state
            while entry.state is before and self._entries.get(entry.key) is entry:
                self._changed.wait()
        finally:
            self._waiting.pop(me, None)

    def _circular(self, entry: _PoolEntry[Any], me: int) -> bool:
        """Whoever loads `entry` may itself wait for a load: follow them, whether they come to thread `me`."""
        following: _PoolEntry[Any] | None = entry
        while following is not None and following.state is _ModelState.LOADING:
            if following.loader == me:
                return True
            following = self._waiting.get(following.loader)
        return False

    def _check_open(self, key: str) -> None:
        if self._closed:
            raise _stopping_error(key)


def _dispatcher(spec: ModelSpec[Any], key: str, model: Loadable) -> Dispatcher[Any] | None:
    """The running dispatcher of a model that scores; None for others. Raises RuntimeError without a thread to spare."""
    if not isinstance(model, ScoringModel):
        return None
    return Dispatcher(key, model.score, model.forget, max_batch=spec.max_batch, max_wait=spec.max_wait)


def _close_logged(key: str, model: Loadable) -> None:
    try:
        model.close()
    except Exception:
        logger.exception("%s: closing failed", key)


def _load_failure(key: str, error: BaseException) -> XaivaError:
    if isinstance(error, XaivaError):
        return error if isinstance(error, NoRoom) else LoadFailed(error.what, error.why, error.remedy)
    logger.error("%s: loading failed", key, exc_info=error)
    return LoadFailed(f"Model {key}", f"{type(error).__name__}: {error}", "see the service's log for details")


def _stopping_error(key: str) -> XaivaError:
    return LoadFailed(f"Model {key}", "the service is stopping", "start it again")


def _no_room_error(key: str, shortage: Shortage, ledger: LedgerStatus) -> NoRoom:
    in_use = [
        f"{one.key} {_format_mib(one.cost)} by {one.leases}" for one in ledger.models if one.cost >= MIB and one.leases
    ]
    room = _format_mib(max(0, shortage.room))
    parts = [
        f"it needs {_format_mib(shortage.need)} and {room} are left of {_format_mib(ledger.total)} on {ledger.device}",
        f"{_format_mib(ledger.reserve)} are kept in reserve",
        f"others use {_format_mib(ledger.others)}" if ledger.others else "",
        f"in use: {', '.join(in_use)}" if in_use else "",
    ]
    limit = "raise XAIVA_MEMORY_BUDGET_MB" if ledger.device == HostMemory.name else "lower XAIVA_VRAM_RESERVE_MB"
    remedy = f"stop cameras that use another model, choose a smaller one, or {limit}"
    return NoRoom(f"Model {key}", "; ".join(part for part in parts if part), remedy)


def _format_mib(count: int) -> str:
    return f"{round(count / MIB)} MB"
