"""VRAM per container: what the driver reports, beside what the ledger of its service explains.

Inside a container NVML names no process, so the service cannot tell its own share of a GPU. The host sees every process
and its container, and the service says what its models cost and in which container it runs: both meet here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from core.containers.model import FrozenModel
from core.telemetry.gpus import GpuState

if TYPE_CHECKING:
    from core.api_schema import ServiceStatus
    from core.telemetry.gpus import GpuProcess, GpuSample

_SHORT_ID = re.compile(r"[0-9a-f]{12}")  # what an engine calls a container's host unless it is told another name


class VramHolder(FrozenModel):
    """A container, or a process outside of any, and the bytes it holds of the GPUs `gpus`.

    `memory` is None where the driver does not tell. `models` is what the service in that container charges its models,
    and `unexplained` how much more than that it holds (less, when negative); both are None for everybody else, and
    while a model loads.
    """

    name: str
    gpus: list[int]
    memory: int | None
    models: int | None = None
    unexplained: int | None = None


def vram_holders(sample: GpuSample, status: ServiceStatus | None) -> list[VramHolder]:
    """Who holds VRAM, most first: a sample that was attributed to containers, and what the service says of itself.

    Nobody while the driver hangs: who held it before is no answer.
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
    """The service's container, and what its models take of a GPU; nothing where one of them cannot be said."""
    ledger = status.ledger if status else None
    if status is None or ledger is None or not ledger.device.startswith("cuda"):
        return "", None
    if any(model.state == "loading" for model in ledger.models) or not _SHORT_ID.fullmatch(status.host):
        return "", None
    return status.host, ledger.ours
