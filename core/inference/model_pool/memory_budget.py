"""The memory budget: the measured memory of each model on a device, and what is left for the next one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.api_schema import LedgerStatus, ModelStatus
from core.inference.model_pool.devices import DeviceBudget, MemoryReading

logger = logging.getLogger(__name__)


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
class Shortage:
    """A model that does not fit."""

    need: int  # bytes
    room: int  # bytes that are left; negative when other programs use part of the reserve


class MemoryBudget:
    """Charges models against a device's memory. Thread-safe; a device that does not answer delays only loads.

    A model is charged before its load, with its last measurement on this device, or with what it declares. Its load is
    measured by how much more memory this process uses afterwards (where NVML names no processes: by how much more all
    use). Only one model may load at a time.
    """

    def __init__(self, budget: DeviceBudget, costs: CostStore) -> None:
        self._device = budget.device
        self._reserve = budget.reserve
        self._costs = costs
        self._charges: dict[str, Charge] = {}
        self._closing: set[str] = set()
        self._used_before: int | None = None  # the load under way; None when it cannot be measured
        self._lock = threading.Lock()
        self._own_before = self._device.read().own or 0  # the interpreter itself, on a machine without a GPU

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

    def begin_load(self) -> None:
        """The charged model begins to load now."""
        with self._lock:
            reading = self._device.read()
            self._used_before = _attributed_bytes(reading) if reading.fresh and not self._closing else None

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

    def cost(self, key: str) -> int:
        """The bytes charged for a model; 0 when it is not charged."""
        charge = self._charges.get(key)  # without the lock, which is held while a device does not answer
        return charge.cost if charge else 0

    def status(self, models: Sequence[ModelStatus]) -> LedgerStatus:
        """The charges and the device's reading; fills the costs into `models`."""
        with self._lock:
            reading = self._device.read()
            ours = sum(charge.cost for charge in self._charges.values())
            own = None if reading.own is None else max(0, reading.own - self._own_before)
            loading = any(charge.loading for charge in self._charges.values())
            return LedgerStatus(
                device=self._device.name,
                total=reading.total,
                reserve=self._reserve,
                ours=ours,
                others=max(0, reading.used - (ours if reading.own is None else reading.own)),
                free=max(0, self._room(reading)),
                drift=None if own is None or loading or not reading.fresh else own - ours,
                models=[self._with_cost(model) for model in models],
            )

    def close(self) -> None:
        self._device.close()

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
        charged = sum(charge.cost for charge in self._charges.values())
        coming = sum(charge.cost for charge in self._charges.values() if charge.loading)
        return min(reading.total - charged, reading.free - coming) - self._reserve


def _attributed_bytes(reading: MemoryReading) -> int:
    return reading.used if reading.own is None else reading.own
