"""The machine a preset is for: its GPUs and its driver, by hand, from the preset or from this host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.version import Version

from core.errors import InputError
from core.presets.compat.facts import Facts, load_facts
from core.presets.compat.rows import GpuRow
from core.presets.model import Preset
from core.telemetry.gpus import GpuSampler

_MAKER = re.compile(r"\b(nvidia|geforce|tesla)\b", re.IGNORECASE)
_FORM = re.compile(r"\b(laptop|mobile|gpu|with|max-?q|pcie|sxm\d?|hbm\w*|\d+ ?gi?b)\b", re.IGNORECASE)
_MEMORY = re.compile(r"(\d+) ?gi?b\b", re.IGNORECASE)
_SM = re.compile(r"^(?:sm[_ ]?)?(\d{1,2})\.?(\d)$", re.IGNORECASE)
# Architectures and names of GPUs that sit in one chip or module with an Arm processor.
_ONLY_ON_ARM = frozenset(("5.3", "6.2", "7.2", "8.7", "10.1", "11.0", "12.1"))
_ARM_NAMES = re.compile(r"\b(jetson|tegra|orin|xavier|thor|igx|agx|gh200|gb\d+|grace|t4g|dgx spark)\b", re.IGNORECASE)
_VERSION_FILES = (Path("/sys/module/nvidia/version"), Path("/proc/driver/nvidia/version"))
_GIB = 1 << 30
_GPU_FOLDER = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Gpu:
    """One GPU. `sm` is its compute capability, `8.6`; empty, like None elsewhere, means unknown."""

    name: str
    sm: str = ""
    vram_gib: float | None = None
    brand: str = ""
    nvenc: bool | None = None
    note: str = ""
    aarch64: bool = False


@dataclass(frozen=True)
class TargetMachine:
    """What a preset has to run on; `driver` is empty when it is not known."""

    gpus: tuple[Gpu, ...] = ()
    driver: str = ""

    @property
    def vram_gib(self) -> float | None:
        """The memory of the smallest GPU, in GiB."""
        known = [gpu.vram_gib for gpu in self.gpus if gpu.vram_gib]
        return min(known) if known else None

    def __str__(self) -> str:
        gpus = ", ".join(gpu.name for gpu in self.gpus) or "no GPU named"
        return f"{gpus}, driver {self.driver or 'unknown'}"


def find_gpu(name: str, facts: Facts) -> Gpu:
    """The GPU of that name: as people say it, as NVML does, or an architecture such as `sm_86`.

    An unknown name gives a Gpu without `sm`.
    """
    if match := _SM.match(name.strip()):
        sm = f"{match[1]}.{match[2]}"
        return Gpu(name.strip(), sm=sm, aarch64=sm in _ONLY_ON_ARM)
    by_name: dict[str, GpuRow] = {}
    for row in facts.gpus.values():
        for known in (row.key, *row.aliases):
            by_name.setdefault(_plain(known), row)
    found = by_name.get(_plain(name)) or by_name.get(_plain(_FORM.sub(" ", name.replace("-", " "))))
    if found is None:
        return Gpu(name.strip(), aarch64=bool(_ARM_NAMES.search(name)))
    memory = _MEMORY.search(name)
    vram = float(memory[1]) if memory else found.vram_gib
    arm = found.aarch64 or found.brand == "jetson"
    return Gpu(found.key, found.sm, vram, found.brand, found.nvenc, found.note, arm)


def named_target(
    gpus: Sequence[str], driver: str = "", vram_gib: float | None = None, facts: Facts | None = None
) -> TargetMachine:
    """The machine with GPUs and driver given by hand; `vram_gib` overrides what the tables say.

    Raises InputError for a driver that is not a version.
    """
    if driver and not re.fullmatch(r"^\d{3}(\.\d+){0,2}$", driver):
        raise InputError(
            f"Driver {driver!r}", "it is not a driver version", 'write it as nvidia-smi does: "535.183.01"'
        )
    tables = facts or load_facts()
    found = (find_gpu(name, tables) for name in gpus)
    return TargetMachine(tuple(replace(gpu, vram_gib=vram_gib or gpu.vram_gib) for gpu in found), driver)


def preset_target(preset: Preset, facts: Facts | None = None) -> TargetMachine | None:
    """The machine that the preset names; None when it names none."""
    target = preset.target
    if target is None or not (target.gpu or target.driver):
        return None
    return named_target([target.gpu] if target.gpu else [], target.driver, target.vram_gib, facts)


def host_target(facts: Facts | None = None) -> TargetMachine | None:
    """This host's GPUs and driver; None without an NVIDIA driver. A driver that hangs costs its deadline, no more."""
    driver = _driver()
    if not driver:
        return None
    facts = facts or load_facts()
    return TargetMachine(_nvml_gpus(facts) or tuple(find_gpu(name, facts) for name in _model_names()), driver)


def runs(sm: str, cubins: list[str], ptx: list[str]) -> bool:
    """Whether code for these architectures runs on `sm`: a cubin of the same major version and not newer, or PTX."""
    major, minor = _parts(sm)
    by_cubin = any(_parts(cubin)[0] == major and _parts(cubin)[1] <= minor for cubin in cubins)
    return by_cubin or any(_parts(version) <= (major, minor) for version in ptx)


def at_least(sm: str, floor: str) -> bool:
    """Whether architecture `sm` is `floor` or newer."""
    return _parts(sm) >= _parts(floor)


def driver_cuda(driver: str, facts: Facts) -> str:
    """The newest CUDA version that a driver knows in full, as nvidia-smi shows it; empty for an ancient one."""
    known = [row for row in facts.cuda.values() if Version(row.native_driver) <= Version(driver)]
    # Within a driver branch the first release already reports the branch's CUDA version.
    branch = Version(driver).major
    known += [row for row in facts.cuda.values() if Version(row.native_driver).major == branch]
    return max((row.key for row in known), key=Version, default="")


def _parts(sm: str) -> tuple[int, int]:
    major, _, minor = sm.partition(".")
    return int(major), int(minor or 0)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", _MAKER.sub("", name).lower())


def _driver() -> str:
    for path in _VERSION_FILES:
        try:
            found = re.search(r"\b(\d{3}\.\d+(\.\d+)?)\b", path.read_text())
        except OSError:
            continue
        if found:
            return found[1]
    return ""


def _model_names() -> list[str]:
    names = []
    for path in sorted(_GPU_FOLDER.glob("*/information")):
        try:
            found = re.search(r"^Model:\s*(.+?)\s*$", path.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            names.append(found[1])
    return names


def _nvml_gpus(facts: Facts) -> tuple[Gpu, ...]:
    """The GPUs as NVML tells them, which knows those that the tables do not; empty when it does not answer."""
    with GpuSampler() as sampler:
        sample = sampler.sample()
    return tuple(
        replace(
            find_gpu(gpu.name, facts),
            name=gpu.name,
            sm=gpu.compute_capability,
            vram_gib=round(gpu.memory_total / _GIB, 1) if gpu.memory_total else None,
        )
        for gpu in sample.gpus
        if gpu.name and gpu.compute_capability
    )
