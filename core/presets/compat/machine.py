"""The machine that a preset is for: GPUs and driver, given by hand, by the preset or by this host."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.version import Version

from core.errors import InputError
from core.presets.compat.facts import Facts, load_facts
from core.presets.compat.gpu_names import GpuModel, find_gpu
from core.presets.model import Preset
from core.telemetry.gpus import Gpu as SampledGpu
from core.telemetry.gpus import GpuSampler

_VERSION_FILES = (Path("/sys/module/nvidia/version"), Path("/proc/driver/nvidia/version"))
_GIB = 1 << 30
_ARM = ("aarch64", "arm64")
_NVML_SILENT = "NVML, which reports it, does not answer"
_GPU_FOLDER = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class TargetMachine:
    """GPUs and driver of the machine; `driver` is empty when it is not known."""

    gpus: tuple[GpuModel, ...] = ()
    driver: str = ""

    @property
    def vram_gib(self) -> float | None:
        """The memory of the smallest GPU, in GiB."""
        sizes = [gpu.vram_gib for gpu in self.gpus if gpu.vram_gib]
        return min(sizes) if sizes else None

    def __str__(self) -> str:
        gpus = ", ".join(gpu.name for gpu in self.gpus) or "no GPU named"
        return f"{gpus}, driver {self.driver or 'unknown'}"


def named_target(
    gpus: Sequence[str], driver: str = "", vram_gib: float | None = None, facts: Facts | None = None
) -> TargetMachine:
    """The machine with the given GPUs and driver; `vram_gib` overrides the tables.

    Raises InputError for a driver that is not a version.
    """
    if driver and not re.fullmatch(r"^\d{3}(\.\d+){0,2}$", driver):
        raise InputError(
            f"Driver {driver!r}", "it is not a driver version", 'write it as nvidia-smi does: "535.183.01"'
        )
    tables = facts or load_facts()
    target_gpus = (find_gpu(name, tables) for name in gpus)
    if vram_gib:
        target_gpus = (replace(gpu, vram_gib=vram_gib, vram_choices=()) for gpu in target_gpus)
    return TargetMachine(tuple(target_gpus), driver)


def preset_target(preset: Preset, facts: Facts | None = None) -> TargetMachine | None:
    """The machine that the preset names; None when it names none."""
    target = preset.target
    if target is None or not (target.gpu or target.driver):
        return None
    return named_target([target.gpu] if target.gpu else [], target.driver, target.vram_gib, facts)


def host_target(facts: Facts | None = None) -> TargetMachine | None:
    """This host's GPUs and driver; None without an NVIDIA driver. A hanging driver costs at most a deadline."""
    driver = _driver()
    if not driver:
        return None
    facts = facts or load_facts()
    return TargetMachine(
        _nvml_gpus(facts) or tuple(GpuModel(name, note=_NVML_SILENT) for name in _model_names()), driver
    )


def has_code_for(sm: str, cubins: list[str], ptx: list[str]) -> bool:
    """Whether code for these architectures runs on `sm`: a cubin of the same major version and not newer, or PTX."""
    major, minor = _parts(sm)
    by_cubin = any(_parts(cubin)[0] == major and _parts(cubin)[1] <= minor for cubin in cubins)
    return by_cubin or any(_parts(version) <= (major, minor) for version in ptx)


def sm_at_least(sm: str, floor: str) -> bool:
    """Whether architecture `sm` is `floor` or newer."""
    return _parts(sm) >= _parts(floor)


def driver_cuda(driver: str, facts: Facts) -> str:
    """The newest CUDA version that a driver fully supports, as nvidia-smi shows it; empty for an ancient driver."""
    rows = [row for row in facts.cuda.values() if Version(row.native_driver) <= Version(driver)]
    # Within a driver branch the first release already reports the branch's CUDA version.
    branch = Version(driver).major
    rows += [row for row in facts.cuda.values() if Version(row.native_driver).major == branch]
    return max((row.key for row in rows), key=Version, default="")


def _parts(sm: str) -> tuple[int, int]:
    major, _, minor = sm.partition(".")
    return int(major), int(minor or 0)


def _driver() -> str:
    for path in _VERSION_FILES:
        try:
            match = re.search(r"\b(\d{3}\.\d+(\.\d+)?)\b", path.read_text())
        except OSError:
            continue
        if match:
            return match[1]
    return ""


def _model_names() -> list[str]:
    names = []
    for path in sorted(_GPU_FOLDER.glob("*/information")):
        try:
            match = re.search(r"^Model:\s*(.+?)\s*$", path.read_text(), re.MULTILINE)
        except OSError:
            continue
        if match:
            names.append(match[1])
    return names


def _nvml_gpus(facts: Facts) -> tuple[GpuModel, ...]:
    """The GPUs that NVML reports; empty when it does not answer."""
    with GpuSampler() as sampler:
        sample = sampler.sample()
    return tuple(nvml_gpu(gpu, facts, platform.machine()) for gpu in sample.gpus)


def nvml_gpu(gpu: SampledGpu, facts: Facts, processor: str) -> GpuModel:
    """A GPU in a machine with that `processor`, as `uname -m` names it.

    Architecture and memory come from the driver; the table adds the rest if it knows the same GPU.
    """
    name = gpu.name or f"GPU {gpu.index}"
    aarch64 = processor in _ARM
    if not gpu.compute_capability:
        return GpuModel(name, note=gpu.detail or _NVML_SILENT, aarch64=aarch64)
    vram = round(gpu.memory_total / _GIB, 1) if gpu.memory_total and not gpu.mig else None  # a slice has less
    model = find_gpu(gpu.name, facts)
    if model.sm != gpu.compute_capability:
        model = GpuModel(name)
    note = model.note if aarch64 else ""
    return GpuModel(name, gpu.compute_capability, vram, model.brand, model.nvenc, note, aarch64)
