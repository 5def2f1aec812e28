"""The memory budget: the memory of each model and of each job on a device, and what is left for the next one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.api_schema import LedgerStatus, ModelStatus
from core.inference.model_pool.devices import DeviceBudget, MemoryDevice, MemoryReading

logger = logging.getLogger(__name__)

# How long a job's memory counts as still to come, on a GPU where NVML names no processes: after that the job has loaded
# its model, and the device's reading includes it.
UNKNOWN_LOAD_SECONDS = 60.0


class CostStore(Protocol):
    """Stores the measured memory of models on a device, in bytes, over restarts."""

    def get(self, key: str, device: str) -> int | None:
        """The stored cost; None when never measured. An error is logged, and the model counts as never measured."""

    def put(self, key: str, device: str, cost: int) -> None:
        """Store the newest measurement. An error is logged."""


@dataclass
class Charge:
    """The memory charged for one model."""

    cost: int  # bytes, as measured, or as declared before that
    measured: bool
    loading: bool = True


@dataclass(frozen=True)
class Reservation:
    """Memory for a model that a job loads in a process of its own."""

    key: str  # unique among models and reservations
    owner: str  # `job 12 (index normal)`
    model: str  # the key that the model would have in the pool, for its measured cost
    declared: int  # bytes, charged when the model was never measured
    pid: int  # 0 when it is not visible from here

    @property
    def title(self) -> str:
        return f"{self.owner}: {self.model}"


@dataclass
class _Reserved:
    """The memory charged for a reservation."""

    reservation: Reservation
    cost: int  # bytes
    measured: bool
    used_before: int | None  # by the process before the grant; None when unknown
    since: float = field(default_factory=time.monotonic)

    def taken(self, device: MemoryDevice) -> int | None:
        """How much of its memory the job has taken; None when unknown."""
        used = device.used_by(self.reservation.pid) if self.reservation.pid else None
        if used is None or self.used_before is None:
            return None
        return min(self.cost, max(0, used - self.used_before))

    def coming(self, device: MemoryDevice) -> int:
        """How much the job may still take, beyond what the device's reading includes."""
        taken = self.taken(device)
        if taken is None:
            taken = self.cost if time.monotonic() - self.since >= UNKNOWN_LOAD_SECONDS else 0
        return self.cost - taken


@dataclass(frozen=True)
class Shortage:
    """A model that does not fit."""

    need: int  # bytes
    room: int  # bytes that are left; negative when other programs use part of the reserve


class MemoryBudget:
    """Charges models and jobs against a device's memory. Thread-safe; a device that hangs delays only loads.

    A model is charged before its load, with its last measurement on this device, or with what it declares. Its load is
    measured by how much more memory this process uses afterwards (where NVML names no processes: by how much more all
    use). Only one model may load at a time. Reservations of jobs are charged in the same way but never measured.
    """

    def __init__(self, budget: DeviceBudget, costs: CostStore) -> None:
        self._device = budget.device
        self._reserve = budget.reserve
        self._costs = costs
        self._charges: dict[str, Charge] = {}
        self._reserved: dict[str, _Reserved] = {}
        self._closing: set[str] = set()
        self._used_before: int | None = None  # the load under way; None when it cannot be measured
        self._lock = threading.Lock()
        self._own_before = self._device.read().own or 0  # the interpreter itself, on a machine without a GPU

    @property
    def limit(self) -> int:
        """The bytes that models and jobs may use together when nothing else runs."""
        return self._device.read().total - self._reserve

    def charge(self, key: str, declared: int) -> Shortage | None:
        """Charge a model before its load. Returns what is missing when it does not fit."""
        remembered = self._recall(key)
        need = declared if remembered is None else remembered
        with self._lock:
            room = self._room(self._device.read())
            if need > room:
                return Shortage(need, room)
            self._charges[key] = Charge(need, measured=remembered is not None)
            return None

    def charge_reservation(self, reservation: Reservation) -> Shortage | None:
        """Charge a job before it loads its model. Returns what is missing when it does not fit."""
        remembered = self._recall(reservation.model)
        with self._lock:
            need = reservation.declared if remembered is None else remembered
            if not any(other.reservation.owner == reservation.owner for other in self._reserved.values()):
                need += self._device.context_bytes
            reading = self._device.read()
            room = self._room(reading)
            if need > room:
                return Shortage(need, room)
            self._add_reservation(reservation, need, remembered is not None, reading)
            return None

    def restore_reservation(self, reservation: Reservation, cost: int) -> None:
        """Charge a job that got `cost` bytes before this process started, whether they fit or not."""
        with self._lock:
            # Its process has long taken the memory.
            restored = _Reserved(reservation, cost, measured=False, used_before=0, since=-UNKNOWN_LOAD_SECONDS)
            self._reserved[reservation.key] = restored

    def begin_load(self) -> None:
        """The charged model begins to load now."""
        with self._lock:
            reading = self._device.read()
            # Where only the use of all processes is known, a job that loads at the same time would be measured too.
            clear = not self._closing and (reading.own is not None or not self._reserved)
            self._used_before = _attributed_bytes(reading) if reading.fresh and clear else None

    def end_load(self, key: str) -> None:
        """The model is loaded and has run once with its largest batch: measure it, if nothing else changed."""
        with self._lock:
            charge = self._charges[key]
            charge.loading = False
            reading = self._device.read()
            if self._used_before is None or not reading.fresh:
                return
            charge.cost, charge.measured = max(0, _attributed_bytes(reading) - self._used_before), True
        self._remember(key, charge.cost)

    def begin_close(self, key: str) -> None:
        """The model begins to release its memory, which spoils a measurement under way; `drop` follows."""
        with self._lock:
            self._closing.add(key)
            self._used_before = None

    def drop(self, key: str) -> None:
        """The model is closed, or its load failed: remove its charge."""
        with self._lock:
            self._closing.discard(key)
            del self._charges[key]

    def drop_reservation(self, key: str) -> None:
        """The job has released its memory, or its process is gone: remove its charge."""
        with self._lock:
            if self._reserved.pop(key, None) is not None and self._device.read().own is None:
                self._used_before = None

    def cost(self, key: str) -> int:
        """The bytes charged for a model or a reservation; 0 when it is not charged."""
        charge = self._charges.get(key) or self._reserved.get(key)  # without the lock, held while a device hangs
        return charge.cost if charge else 0

    def status(self, models: Sequence[ModelStatus]) -> LedgerStatus:
        """The charges and the device's reading; fills the costs into `models`, and adds the reservations."""
        with self._lock:
            reading = self._device.read()
            of_models = sum(charge.cost for charge in self._charges.values())
            reserved = list(self._reserved.values())
            ours = of_models + sum(one.cost for one in reserved)
            own = None if reading.own is None else max(0, reading.own - self._own_before)
            loading = any(charge.loading for charge in self._charges.values())
            accounted = (
                ours if reading.own is None else reading.own + sum(one.taken(self._device) or 0 for one in reserved)
            )
            return LedgerStatus(
                device=self._device.name,
                total=reading.total,
                reserve=self._reserve,
                ours=ours,
                others=max(0, reading.used - accounted),
                free=max(0, self._room(reading)),
                drift=None if own is None or loading or not reading.fresh else own - of_models,
                models=[*(self._with_cost(model) for model in models), *_reservation_statuses(reserved)],
            )

    def close(self) -> None:
        self._device.close()

    def _add_reservation(self, reservation: Reservation, cost: int, measured: bool, reading: MemoryReading) -> None:
        used_before = self._device.used_by(reservation.pid) if reservation.pid else None
        self._reserved[reservation.key] = _Reserved(reservation, cost, measured, used_before)
        if reading.own is None:
            self._used_before = None  # a load under way can no longer be told from the job's

    def _with_cost(self, model: ModelStatus) -> ModelStatus:
        charge = self._charges.get(model.key)
        if charge is None:
            return model
        return model.model_copy(update={"cost": charge.cost, "measured": charge.measured})

    def _recall(self, key: str) -> int | None:
        try:
            return self._costs.get(key, self._device.name)
        except Exception:
            logger.exception("the stored memory of %s cannot be read; its declared memory is used", key)
            return None

    def _remember(self, key: str, cost: int) -> None:
        try:
            self._costs.put(key, self._device.name, cost)
        except Exception:  # the model works; it is only measured again next time
            logger.exception("the measured memory of %s cannot be stored", key)

    def _room(self, reading: MemoryReading) -> int:
        """What the charges leave, and what is really free: other programs, and this one, may use more than charged."""
        charges, reserved = self._charges.values(), self._reserved.values()
        charged = sum(charge.cost for charge in charges) + sum(one.cost for one in reserved)
        coming = sum(charge.cost for charge in charges if charge.loading)
        coming += sum(one.coming(self._device) for one in reserved)
        return min(reading.total - charged, reading.free - coming) - self._reserve


def _attributed_bytes(reading: MemoryReading) -> int:
    return reading.used if reading.own is None else reading.own


def _reservation_statuses(reserved: Iterable[_Reserved]) -> list[ModelStatus]:
    return [
        ModelStatus(
            key=one.reservation.title,
            state="reserved",
            cost=one.cost,
            declared=one.reservation.declared,
            measured=one.measured,
        )
        for one in reserved
    ]
