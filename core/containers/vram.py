"""VRAM per container: what the driver reports, beside what the ledger of its service explains.

Inside a container NVML names no process, so the service cannot tell its own share of a GPU. The host sees every process
and its container, and the service says what its models cost and in which container it runs: both meet here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from core.containers.model import Known
from core.telemetry.gpus import GpuState

if TYPE_CHECKING:
    from core.inference.schemas import ServiceStatus
    from core.telemetry.gpus import GpuProcess, GpuSample

_SHORT_ID = re.compile(r"[0-9a-f]{12}")  # what an engine calls a container's host unless it is told another name


class Holder(Known):
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


def holders(sample: GpuSample, status: ServiceStatus | None) -> list[Holder]:
    """Who holds VRAM, most first: a sample that was attributed to containers, and what the service says of itself.

    Nobody while the driver hangs: who held it before is no answer.
    """
    if sample.state is GpuState.HUNG:
        return []
    found: dict[str, list[tuple[int, GpuProcess]]] = {}
    for gpu in sample.gpus:
        for process in gpu.processes:
            name = process.container_id or process.container or process.name or f"process {process.pid}"
            found.setdefault(name, []).append((gpu.index, process))
    host, models = _charged(status)
    held = [_holder(name, uses, models if host and name.startswith(host) else None) for name, uses in found.items()]
    return sorted(held, key=lambda one: -(one.memory or 0))


def _holder(name: str, uses: list[tuple[int, GpuProcess]], models: int | None) -> Holder:
    told = [process.memory for _, process in uses if process.memory is not None]
    memory = sum(told) if len(told) == len(uses) else None
    return Holder(
        name=uses[0][1].container or name,
        gpus=sorted({index for index, _ in uses}),
        memory=memory,
        models=models,
        unexplained=None if memory is None or models is None else memory - models,
    )


def _charged(status: ServiceStatus | None) -> tuple[str, int | None]:
    """The service's container, and what its models take of a GPU; nothing where one of them cannot be said."""
    ledger = status.ledger if status else None
    if status is None or ledger is None or not ledger.device.startswith("cuda"):
        return "", None
    if any(model.state == "loading" for model in ledger.models) or not _SHORT_ID.fullmatch(status.host):
        return "", None
    return status.host, ledger.ours
