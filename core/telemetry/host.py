"""Samples of the machine: CPU, memory, disks, network, temperatures. Rates use the monotonic clock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from core.telemetry.disks import Disk, DiskSampler

SLOW_READING_SECONDS = 5.0  # between readings of disks and temperatures, which change slowly
# Interfaces that only forward packets inside the machine: they would be counted twice.
_INNER_INTERFACES = ("lo", "veth", "docker", "br-", "virbr", "cni", "flannel")


class _Snapshot(BaseModel):
    model_config = ConfigDict(frozen=True)


class Interface(_Snapshot):
    """One network interface, in bytes per second; None in the first sample."""

    name: str
    received_rate: float | None = None
    sent_rate: float | None = None


class Temperature(_Snapshot):
    """One sensor, in degrees Celsius; `critical` is None when the sensor does not report it."""

    name: str
    celsius: float
    critical: float | None = None


class HostSample(_Snapshot):
    """The state of the machine. Percent, bytes, bytes per second, seconds."""

    taken: float
    cpu_percent: float | None
    """Of all cores together, 0 to 100; None in the first sample."""
    cores_percent: list[float]
    cores: int
    load: tuple[float, float, float]
    """Averages over 1, 5 and 15 minutes."""
    memory_total: int
    memory_used: int
    memory_available: int
    swap_total: int
    swap_used: int
    disks: list[Disk]
    network: list[Interface]
    """Without interfaces that are internal to the machine."""
    received_rate: float | None
    sent_rate: float | None
    temperatures: list[Temperature]
    uptime: float


class HostSampler:
    """Samples the host; not thread-safe. `watched` maps labels to folders whose free space matters."""

    def __init__(self, watched: Mapping[str, Path] | None = None) -> None:
        self._watched = dict(watched or {})
        self._disk_sampler = DiskSampler()
        self._disks: list[Disk] = []
        self._temperatures: list[Temperature] = []
        self._slow_read_at = float("-inf")
        self._counters: dict[str, tuple[int, int]] = {}
        self._counted_at = 0.0
        self._first = True

    def close(self) -> None:
        """End the thread that reads the disks."""
        self._disk_sampler.close()

    def watch(self, label: str, path: Path) -> None:
        """Add a folder to watch, such as the engine's root once it is known."""
        if self._watched.get(label) != path:
            self._watched[label] = path
            self._slow_read_at = float("-inf")

    def sample(self) -> HostSample:
        """The state of the machine now. A mount that hangs delays this once, by its deadline."""
        cores = psutil.cpu_percent(percpu=True)
        first, self._first = self._first, False
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        network = self._network()
        self._refresh_slow_readings()
        return HostSample(
            taken=time.time(),
            cpu_percent=None if first else sum(cores) / max(len(cores), 1),
            cores_percent=[] if first else cores,
            cores=len(cores),
            load=os.getloadavg(),
            memory_total=memory.total,
            memory_used=memory.total - memory.available,
            memory_available=memory.available,
            swap_total=swap.total,
            swap_used=swap.used,
            disks=self._disks,
            network=network,
            received_rate=_sum_known(interface.received_rate for interface in network),
            sent_rate=_sum_known(interface.sent_rate for interface in network),
            temperatures=self._temperatures,
            uptime=time.clock_gettime(time.CLOCK_BOOTTIME),
        )

    def _refresh_slow_readings(self) -> None:
        if time.monotonic() - self._slow_read_at < SLOW_READING_SECONDS:
            return
        self._disks = self._disk_sampler.sample(self._watched)
        self._temperatures = _temperatures()
        self._slow_read_at = time.monotonic()

    def _network(self) -> list[Interface]:
        now = time.monotonic()
        seconds = now - self._counted_at
        counters = {
            name: (counter.bytes_recv, counter.bytes_sent)
            for name, counter in psutil.net_io_counters(pernic=True).items()
            if not name.startswith(_INNER_INTERFACES)
        }
        interfaces = [
            _interface(name, self._counters.get(name), counted, seconds) for name, counted in counters.items()
        ]
        self._counters, self._counted_at = counters, now
        return interfaces


def _interface(name: str, before: tuple[int, int] | None, now: tuple[int, int], seconds: float) -> Interface:
    if before is None or seconds <= 0:
        return Interface(name=name)
    received, sent = ((after - earlier) / seconds for earlier, after in zip(before, now, strict=True))
    return Interface(name=name, received_rate=max(received, 0), sent_rate=max(sent, 0))


def _temperatures() -> list[Temperature]:
    try:
        sensors = psutil.sensors_temperatures()
    except (OSError, AttributeError):
        return []  # a sensor that cannot be read, or a system without any
    return [
        Temperature(name=sensor.label or chip, celsius=sensor.current, critical=sensor.critical)
        for chip, entries in sensors.items()
        for sensor in entries
        if sensor.current is not None
    ]


def _sum_known(values: Iterable[float | None]) -> float | None:
    figures = [value for value in values if value is not None]
    return sum(figures) if figures else None
