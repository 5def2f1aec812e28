"""The memory that models live in: a GPU's as NVML sees it, or this machine's."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.telemetry.gpus import Gpu, GpuSample, GpuSampler, GpuState

logger = logging.getLogger(__name__)

_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Reading:
    """Bytes now. `free` is what the device could still give, whatever the budget says; `used` by everyone.

    `own` is this process's part, None when it cannot be told: from inside a container NVML names nobody's.
    """

    total: int
    used: int
    free: int
    own: int | None


class Device(Protocol):
    """Where models take their memory. `name` is `cuda:0 <name>` or `memory`."""

    name: str

    def read(self) -> Reading:
        """The memory now; the last that was known when the device does not answer."""

    def close(self) -> None:
        """Give back what reading needed."""


@dataclass(frozen=True)
class Budget:
    """What models may take of `device`: all of its total but `reserve` bytes."""

    device: Device
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
        self._last = _reading(gpu)

    def read(self) -> Reading:
        """The GPU now; when the driver hangs or the GPU fell off the bus, as it last was."""
        sample = self._sampler.sample()
        gpu = next((gpu for gpu in sample.gpus if gpu.index == self._index), None)
        if sample.state is GpuState.OK and gpu is not None and gpu.memory_total:
            self._last = _reading(gpu)
        return self._last

    def close(self) -> None:
        """End the process that asks NVML."""
        self._sampler.close()


class HostMemory:
    """A share of this machine's memory: `budget` bytes, or half of what is free now when it is 0."""

    name = "memory"

    def __init__(self, budget: int = 0) -> None:
        self._total = budget or _available() // 2

    def read(self) -> Reading:
        """The budget as the total; used is what this process uses, for other processes have memory of their own."""
        own = _resident()
        return Reading(total=self._total, used=own, free=_available(), own=own)

    def close(self) -> None:
        """Nothing to give back."""


def find_budget(*, gpu: bool, vram_reserve: int, memory_budget: int) -> Budget:
    """The memory models will live in: a GPU's when they run there and NVML shows it, else this machine's. Bytes."""
    if gpu:
        try:
            return Budget(GpuMemory(), vram_reserve)
        except LookupError as error:
            logger.warning("NVML does not show the GPU (%s): the models' memory there is not watched", error)
    return Budget(HostMemory(memory_budget), 0)


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


def _reading(gpu: Gpu) -> Reading:
    total, used = gpu.memory_total or 0, gpu.memory_used or 0
    own = next((process.memory for process in gpu.processes if process.pid == os.getpid()), None)
    free = total - used if gpu.memory_free is None else gpu.memory_free
    return Reading(total=total, used=used, free=max(0, free), own=own)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _available() -> int:
    """What the machine could give without swapping, and no more than the container's own limit leaves."""
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    limits = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
    for limit, used in limits:  # of cgroup 2 and of 1
        try:
            free = min(free, int((_CGROUPS / limit).read_text()) - int((_CGROUPS / used).read_text()))
        except (OSError, ValueError):  # another version, or "max": no limit
            continue
    return max(0, free)
