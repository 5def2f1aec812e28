"""The facts about this machine: host, GPUs and disks."""

from __future__ import annotations

import platform
import re
from contextlib import suppress
from pathlib import Path

from core.errors import XaivaError
from core.file_systems import file_system_type
from core.site import Site
from core.site_report.model import DiskFacts, GpuFacts, GpusFacts, HostFacts
from core.telemetry.disks import Disk, DiskSampler, DiskState
from core.telemetry.gpus import GpuSampler, GpuState

_UNREADABLE_STATES = (GpuState.HUNG, GpuState.ERROR)
_CPU_INFO = Path("/proc/cpuinfo")
_DISK_SECONDS = 5.0


def host_facts() -> HostFacts:
    """This machine, without what changes all the time."""
    import psutil

    return HostFacts(
        name=platform.node(),
        os=_distribution(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu=_cpu(),
        cores=psutil.cpu_count(),
        memory=psutil.virtual_memory().total,
    )


def gpus_facts() -> GpusFacts:
    """The GPUs. Raises XaivaError when the driver does not answer."""
    with GpuSampler() as sampler:
        sample = sampler.sample()
    if sample.state in _UNREADABLE_STATES:
        raise XaivaError("The GPUs", sample.detail or "NVML does not answer")
    gpus = [
        GpuFacts(
            name=gpu.name or f"GPU {gpu.index}",
            state=gpu.state.value,
            memory=gpu.memory_total,
            compute_capability=gpu.compute_capability,
            mig=gpu.mig,
        )
        for gpu in sample.gpus
    ]
    return GpusFacts(state=sample.state.value, detail=sample.detail, driver=sample.driver, cuda=sample.cuda, gpus=gpus)


def disk_facts(site: Site) -> list[DiskFacts]:
    """The disks of the site and of its artifacts, then every real mount."""
    sampler = DiskSampler(_DISK_SECONDS)
    try:
        disks = sampler.sample({"site": site.root, "artifacts": site.artifacts})
    finally:
        sampler.close()
    return [_disk(disk) for disk in disks]


def _disk(disk: Disk) -> DiskFacts:
    """A disk, without its device, which may be an address."""
    if disk.state is not DiskState.OK:
        return DiskFacts(path=disk.path, label=disk.label, file_system=disk.file_system, state=disk.state.value)
    return DiskFacts(
        path=disk.path,
        label=disk.label,
        file_system=disk.file_system or file_system_type(Path(disk.path)),
        state=disk.state.value,
        total=disk.total,
        free=disk.free,
    )


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _cpu() -> str:
    with suppress(OSError):
        match = re.search(r"^model name\s*:\s*(.+)$", _CPU_INFO.read_text(), re.MULTILINE)
        return match[1].strip() if match else ""
    return ""
