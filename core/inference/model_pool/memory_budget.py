"""The memory budget: the measured cost of each model on a device, and what is left for the next one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.api_schema import LedgerStatus, ModelStatus
from core.inference.model_pool.devices import DeviceBudget, MemoryReading

logger = logging.getLogger(__name__)


class CostStore(Protocol):
    """Remembers over restarts what models were measured to cost on a device, in bytes."""

    def get(self, key: str, device: str) -> int | None:
        """None when it was never measured. What it raises is logged, and the model counts as never measured."""

    def put(self, key: str, device: str, cost: int) -> None:
        """The newest measurement counts. What it raises is logged."""


@dataclass
class Charge:
    """What one model is charged: bytes as measured, before that as declared."""

    cost: int
    declared: int
    measured: bool = False
    loading: bool = True


@dataclass(frozen=True)
class Shortage:
    """A model that does not fit: it needs `need` bytes, `room` are left; below 0 where others use of the reserve."""

    need: int
    room: int


@dataclass
class _LoadWindow:
    """Loads that overlap. What is used more at the end than at `before` is theirs together.

    `sure`: `before` is what the device said just then, and no model was giving memory back.
    """

    before: int
    reliable: bool
    keys: set[str] = field(default_factory=set)  # those that are or were loaded in it
    loading: int = 0


class MemoryBudget:
    """Charges models against a budget. Safe for any thread; a device that does not answer holds up loads alone.

    A model is charged before its load, by what it cost last time on this device, else by what it declares, so that
    two loads never count on the same bytes. The load is measured: what this process uses more after it than before
    (where NVML does not tell processes apart: what all use more). Loads that overlap are measured together; what no
    earlier measurement explains is then shared out by what they declare, and is not remembered as measured.
    """

    def __init__(self, budget: DeviceBudget, costs: CostStore) -> None:
        self._device = budget.device
        self._reserve = budget.reserve
        self._costs = costs
        self._charges: dict[str, Charge] = {}
        self._closing: set[str] = set()
        self._window: _LoadWindow | None = None
        self._lock = threading.Lock()
        self._own_before = self._device.read().own or 0  # the interpreter itself, on a machine without a GPU

    def charge(self, key: str, declared: int) -> Shortage | None:
        """Charge a model that is about to load; what is missing when it does not fit."""
        remembered = self._recall(key)
        need = declared if remembered is None else remembered
        with self._lock:
            room = self._room(self._device.read())
            if need > room:
                return Shortage(need, room)
            self._charges[key] = Charge(need, declared, measured=remembered is not None)
            return None

    def begin_load(self, key: str) -> None:
        """The charged model begins to load now."""
        with self._lock:
            if self._window is None:
                reading = self._device.read()
                self._window = _LoadWindow(_attributed_bytes(reading), self._is_reliable(reading))
            self._window.keys.add(key)
            self._window.loading += 1

    def end_load(self, key: str) -> None:
        """The model is loaded and has run once at its largest batch."""
        with self._lock:
            self._charges[key].loading = False
            measured = self._leave_window()
        self._remember(measured)

    def begin_close(self, key: str) -> None:
        """The loaded model begins to give its memory back; `drop` follows."""
        with self._lock:
            self._closing.add(key)

    def drop(self, key: str) -> None:
        """The model is gone, or its load failed: its charge is taken back."""
        measured: dict[str, int] = {}
        with self._lock:
            self._closing.discard(key)
            charge = self._charges.pop(key)
            window = self._window
            if window is not None and key in window.keys:
                window.keys.discard(key)
                if charge.loading:
                    measured = self._leave_window()
            elif window is not None and not charge.loading:
                window.before -= charge.cost  # what it gave back must not hide what the others take
        self._remember(measured)

    def cost(self, key: str) -> int:
        """What a model is charged now, in bytes; 0 for one that is not."""
        charge = self._charges.get(key)  # without the lock, under which a device may let us wait
        return charge.cost if charge else 0

    def status(self, models: Sequence[ModelStatus]) -> LedgerStatus:
        """The ledger next to what the device says; costs are filled into `models`."""
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
        """Give the device's reader back."""
        self._device.close()

    def _with_cost(self, model: ModelStatus) -> ModelStatus:
        charge = self._charges.get(model.key)
        if charge is None:
            return model
        figures = {"cost": charge.cost, "declared": charge.declared, "measured": charge.measured}
        return model.model_copy(update=figures)

    def _recall(self, key: str) -> int | None:
        try:
            return self._costs.get(key, self._device.name)
        except Exception:
            logger.exception("what %s cost last time cannot be read; what it declares is taken", key)
            return None

    def _remember(self, measured: dict[str, int]) -> None:
        for key, cost in measured.items():
            try:
                self._costs.put(key, self._device.name, cost)
            except Exception:  # the model works; it is only measured again next time
                logger.exception("what %s costs cannot be kept", key)

    def _room(self, reading: MemoryReading) -> int:
        """By the charges and by what is really free: others may use more than the ledger knows, and so may we."""
        charged = sum(charge.cost for charge in self._charges.values())
        coming = sum(charge.cost for charge in self._charges.values() if charge.loading)
        return min(reading.total - charged, reading.free - coming) - self._reserve

    def _leave_window(self) -> dict[str, int]:
        """One load less is under way; with the last one, what they cost together is theirs."""
        window = self._window
        assert window is not None
        window.loading -= 1
        if window.loading:
            return {}
        self._window = None
        reading = self._device.read()
        if not (window.reliable and self._is_reliable(reading)):
            return {}  # it may seem to cost nothing: what is charged stays charged
        grown = max(0, _attributed_bytes(reading) - window.before)
        return self._share_out([key for key in window.keys if key in self._charges], grown)

    def _is_reliable(self, reading: MemoryReading) -> bool:
        return reading.fresh and not self._closing

    def _share_out(self, keys: Sequence[str], grown: int) -> dict[str, int]:
        """Share `grown` bytes out among the models of one window; returns what was measured beyond doubt."""
        if len(keys) == 1:
            charge = self._charges[keys[0]]
            charge.cost, charge.measured = grown, True
            return {keys[0]: grown}
        unknown = [self._charges[key] for key in keys if not self._charges[key].measured]
        explained = sum(self._charges[key].cost for key in keys if self._charges[key].measured)
        unexplained = max(0, grown - explained)
        declared = sum(charge.declared for charge in unknown)
        for charge in unknown:
            charge.cost = unexplained * charge.declared // declared if declared else unexplained // len(unknown)
        return {}


def _attributed_bytes(reading: MemoryReading) -> int:
    return reading.used if reading.own is None else reading.own
