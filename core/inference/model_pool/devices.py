"""The memory that models live in: a GPU's as NVML sees it, or this machine's."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from core.telemetry.gpus import Gpu, GpuSample, GpuSampler, GpuState

logger = logging.getLogger(__name__)

_CGROUPS = Path("/sys/fs/cgroup")
# Of cgroup 2 and of 1: the folder there, the limit, what is used, and which of that is cache that gives way.
_CGROUP_FILES = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True)
class MemoryReading:
    """Bytes now. `free` is what the device could still give, whatever the budget says; `used` by everyone.

    `own` is this process's part, None when it cannot be told: from inside a container NVML names nobody's. Not
    `fresh`: the device does not answer, and this is what it said last.
    """

    total: int
    used: int
    free: int
    own: int | None
    fresh: bool = True


class MemoryDevice(Protocol):
    """Where models take their memory. `name` is `cuda:0 <name>` or `memory`."""

    name: str

    def read(self) -> MemoryReading:
        """The memory now; the last that was known, no longer fresh, when the device does not answer."""

    def close(self) -> None:
        """Give back what reading needed."""


@dataclass(frozen=True)
class DeviceBudget:
    """What models may take of `device`: all of its total but `reserve` bytes."""

    device: MemoryDevice
    reserve: int


class GpuMemory:
    """The memory of one GPU. Raises LookupError when NVML shows none to this process."""

    def __init__(self) -> None:
        self._sampler = GpuSampler()
        sample = self._sampler.sample()
        gpu = cuda_gpu(sample)
        if gpu is None or not gpu.memory_total:
            self._sampler.close()
            raise LookupError(sample.detail or "there is no GPU")
        self.name = f"cuda:0 {gpu.name}"
        self._index = gpu.index
        self._last = _gpu_reading(gpu)

    def read(self) -> MemoryReading:
        """The GPU now; when the driver hangs or the GPU fell off the bus, as it last was."""
        sample = self._sampler.sample()
        gpu = next((gpu for gpu in sample.gpus if gpu.index == self._index), None)
        if sample.state is GpuState.OK and gpu is not None and gpu.memory_total:
            self._last = _gpu_reading(gpu)
            return self._last
        return replace(self._last, fresh=False)

    def close(self) -> None:
        """End the process that asks NVML."""
        self._sampler.close()


class HostMemory:
    """A share of this machine's memory: `budget` bytes, or half of what is free now when it is 0."""

    name = "memory"

    def __init__(self, budget: int = 0) -> None:
        self._total = budget or _available_bytes() // 2

    def read(self) -> MemoryReading:
        """The budget as the total; used is what this process uses, for other processes have memory of their own."""
        own = _resident_bytes()
        return MemoryReading(total=self._total, used=own, free=_available_bytes(), own=own)

    def close(self) -> None:
        """Nothing to give back."""


def find_device_budget(*, gpu: bool, vram_reserve: int, memory_budget: int) -> DeviceBudget:
    """The memory models will live in: a GPU's when they run there and NVML shows it, else this machine's. Bytes."""
    if gpu:
        try:
            return DeviceBudget(GpuMemory(), vram_reserve)
        except LookupError as error:
            logger.warning("NVML does not show the GPU (%s): the models' memory there is not watched", error)
    return DeviceBudget(HostMemory(memory_budget), 0)


def cuda_gpu(sample: GpuSample) -> Gpu | None:
    """The GPU that CUDA calls 0 when it counts in the order of the bus: the first that CUDA_VISIBLE_DEVICES names."""
    gpus = [gpu for gpu in sample.gpus if gpu.state is GpuState.OK]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or visible.startswith("MIG-"):  # a part of a GPU: NVML shows the whole
        return gpus[0] if gpus else None
    first = visible.split(",")[0].strip()
    return next(
        (gpu for gpu in gpus if first == str(gpu.index) or (len(first) > 4 and gpu.uuid.startswith(first))), None
    )


def _gpu_reading(gpu: Gpu) -> MemoryReading:
    total, used = gpu.memory_total or 0, gpu.memory_used or 0
    own = next((process.memory for process in gpu.processes if process.pid == os.getpid()), None)
    free = total - used if gpu.memory_free is None else gpu.memory_free
    return MemoryReading(total=total, used=used, free=max(0, free), own=own)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _available_bytes() -> int:
    """What the machine could give without swapping, and no more than the container's own limit leaves."""
    free = _read_figures(Path("/proc/meminfo"))["MemAvailable:"] * 1024
    for folder, limit, used, cache in _CGROUP_FILES:
        group = _CGROUPS / folder
        try:
            remaining = int((group / limit).read_text()) - int((group / used).read_text())
            free = min(free, remaining + _read_figures(group / "memory.stat").get(cache, 0))
        except (OSError, ValueError):  # another version, or "max": no limit
            continue
    return max(0, free)


def _read_figures(path: Path) -> dict[str, int]:
    """The lines `name number …` of a file of the kernel's."""
    return {words[0]: int(words[1]) for line in path.read_text().splitlines() if len(words := line.split()) > 1}
