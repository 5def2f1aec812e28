"""The memory that models use: a GPU's as NVML reports it, or this machine's."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from core.telemetry.gpus import Gpu, GpuSample, GpuSampler, GpuState

logger = logging.getLogger(__name__)

_CGROUPS = Path("/sys/fs/cgroup")
# For cgroup 2 and 1: the folder, the files with limit and usage, and the entry for reclaimable cache.
_CGROUP_FILES = (
    ("", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True)
class MemoryReading:
    """A device's memory now, in bytes."""

    total: int
    used: int  # by all processes
    free: int  # what the device could still give, whatever the budget allows
    own: int | None  # used by this process; None when unknown, because NVML names no processes inside a container
    fresh: bool = True  # False: the device does not answer, and this is its last reading


class MemoryDevice(Protocol):
    """The device whose memory models use."""

    name: str  # `cuda:0 <name>` or `memory`
    context_bytes: int  # what a further process needs on the device before its first model

    def read(self) -> MemoryReading:
        """The memory now; the last reading, not `fresh`, when the device does not answer."""

    def used_by(self, pid: int) -> int | None:
        """The bytes that another process uses, on a GPU as of the newest reading; None when unknown."""

    def close(self) -> None:
        """Release what `read` needs, such as a child process."""


@dataclass(frozen=True)
class DeviceBudget:
    """Models may use the total memory of `device` except `reserve` bytes."""

    device: MemoryDevice
    reserve: int


class GpuMemory:
    """The memory of one GPU. Raises LookupError when NVML shows none to this process."""

    context_bytes = 300 << 20  # a CUDA context with the kernels of ONNX Runtime and cuDNN

    def __init__(self) -> None:
        self._sampler = GpuSampler()
        sample = self._sampler.sample()
        gpu = cuda_gpu(sample)
        if gpu is None or not gpu.memory_total:
            self._sampler.close()
            raise LookupError(sample.detail or "there is no GPU")
        self.name = f"cuda:0 {gpu.name}"
        self._index = gpu.index
        self._gpu = gpu
        self._last = _gpu_reading(gpu)

    def read(self) -> MemoryReading:
        """The GPU's memory now; the last reading when the driver hangs or the GPU fell off the bus."""
        sample = self._sampler.sample()
        gpu = next((gpu for gpu in sample.gpus if gpu.index == self._index), None)
        if sample.state is GpuState.OK and gpu is not None and gpu.memory_total:
            self._gpu, self._last = gpu, _gpu_reading(gpu)
            return self._last
        return replace(self._last, fresh=False)

    def used_by(self, pid: int) -> int | None:
        """The bytes of a process; None where NVML names no processes."""
        if self._last.own is None:
            return None
        return sum(process.memory or 0 for process in self._gpu.processes if process.pid == pid)

    def close(self) -> None:
        """End the child process that queries NVML."""
        self._sampler.close()


class HostMemory:
    """A share of this machine's memory: `budget` bytes, or half of the free memory when it is 0."""

    name = "memory"
    context_bytes = 0

    def __init__(self, budget: int = 0, cgroups: Path = _CGROUPS) -> None:
        self._cgroups = cgroups
        self._total = budget or _available_bytes(cgroups) // 2

    def read(self) -> MemoryReading:
        """The memory now: `total` is the budget, and `used` counts only this process."""
        own = _resident_bytes()
        return MemoryReading(total=self._total, used=own, free=_available_bytes(self._cgroups), own=own)

    def used_by(self, pid: int) -> int | None:
        """The resident bytes of a process; None when it is gone."""
        try:
            return _resident_bytes(pid)
        except OSError:
            return None

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def find_device_budget(*, gpu: bool, vram_reserve: int, memory_budget: int) -> DeviceBudget:
    """The memory that models will use: a GPU's when they run there and NVML shows it, otherwise this machine's."""
    if gpu:
        try:
            return DeviceBudget(GpuMemory(), vram_reserve)
        except LookupError as error:
            logger.warning("NVML does not show the GPU (%s): the models' memory there is not watched", error)
    return DeviceBudget(HostMemory(memory_budget), 0)


def cuda_gpu(sample: GpuSample) -> Gpu | None:
    """The GPU that CUDA numbers 0 in bus order: the first one in CUDA_VISIBLE_DEVICES."""
    gpus = [gpu for gpu in sample.gpus if gpu.state is GpuState.OK]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None or visible.startswith("MIG-"):  # a part of a GPU: NVML shows the whole GPU
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


def _resident_bytes(pid: int | None = None) -> int:
    pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _available_bytes(cgroups: Path) -> int:
    """The memory available without swapping, within the container's limit."""
    free = _read_figures(Path("/proc/meminfo"))["MemAvailable:"] * 1024
    for folder, limit, used, cache in _CGROUP_FILES:
        group = cgroups / folder
        try:
            remaining = int((group / limit).read_text()) - int((group / used).read_text())
            free = min(free, remaining + _read_figures(group / "memory.stat").get(cache, 0))
        except (OSError, ValueError):  # other cgroup version, or "max": no limit
            continue
    return max(0, free)


def _read_figures(path: Path) -> dict[str, int]:
    """Parse the lines `name number …` of a file in /proc or /sys."""
    return {words[0]: int(words[1]) for line in path.read_text().splitlines() if len(words := line.split()) > 1}
