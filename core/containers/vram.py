"""VRAM per container: what the driver reports, compared with what the service's memory budget explains.

Inside a container NVML lists no processes, so the service cannot measure its own share of a GPU. The host sees every
process and its container, and the service reports the cost of its models and its container. This combines the two.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from core.containers.model import FrozenModel
from core.telemetry.gpus import GpuState

if TYPE_CHECKING:
    from core.api_schema import ServiceStatus
    from core.telemetry.gpus import GpuProcess, GpuSample

_SHORT_ID = re.compile(r"[0-9a-f]{12}")  # the engine's default host name of a container


class VramHolder(FrozenModel):
    """The VRAM of a container, or of a process outside of containers, in bytes."""

    name: str
    gpus: list[int]
    """The indices of the GPUs that it uses."""
    memory: int | None
    """None when the driver does not report it."""
    models: int | None = None
    """What the service charges its models; None for other containers and while a model loads."""
    unexplained: int | None = None
    """`memory` minus `models`."""


def vram_holders(sample: GpuSample, status: ServiceStatus | None) -> list[VramHolder]:
    """What uses VRAM, largest first. `sample` must have been attributed to containers.

    Empty while the driver hangs, because the last known values would be misleading.
    """
    if sample.state is GpuState.HUNG:
        return []
    processes_by_name: dict[str, list[tuple[int, GpuProcess]]] = {}
    for gpu in sample.gpus:
        for process in gpu.processes:
            name = process.container_id or process.container or process.name or f"process {process.pid}"
            processes_by_name.setdefault(name, []).append((gpu.index, process))
    host, models = _model_memory(status)
    holders_by_memory = [
        _holder(name, uses, models if host and name.startswith(host) else None)
        for name, uses in processes_by_name.items()
    ]
    return sorted(holders_by_memory, key=lambda holder: -(holder.memory or 0))


def _holder(name: str, uses: list[tuple[int, GpuProcess]], models: int | None) -> VramHolder:
    known_bytes = [process.memory for _, process in uses if process.memory is not None]
    memory = sum(known_bytes) if len(known_bytes) == len(uses) else None
    return VramHolder(
        name=uses[0][1].container or name,
        gpus=sorted({index for index, _ in uses}),
        memory=memory,
        models=models,
        unexplained=None if memory is None or models is None else memory - models,
    )


def _model_memory(status: ServiceStatus | None) -> tuple[str, int | None]:
    """The host name of the service's container and the bytes of its models; ("", None) when either is unknown."""
    ledger = status.ledger if status else None
    if status is None or ledger is None or not ledger.device.startswith("cuda"):
        return "", None
    if any(model.state == "loading" for model in ledger.models) or not _SHORT_ID.fullmatch(status.host):
        return "", None
    return status.host, ledger.ours
