"""Processes that use a GPU, and those of containers: what each uses, for whom, and in which container.

The driver and the engine name processes by pid. This machine's /proc says the rest, provided that the pid is one of
this machine: an engine on another host, or outside of this program's pid namespace, names others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from core.containers.model import Container, FrozenModel
from core.engine import EngineError, engine_errors, engine_refused
from core.redaction import redact_text
from core.telemetry.gpus import GpuSample, GpuState, attribute_containers
from core.telemetry.process_info import container_id
from core.telemetry.process_usage import ProcessSampler, ProcessUsage

if TYPE_CHECKING:
    import docker

_TOP_COLUMNS = "pid,user,pcpu,rss,etimes,args"  # of `ps`, which the engine runs on its host


class ListedProcess(FrozenModel):
    """A process on a GPU, or one of a container. Bytes, percent, seconds; None: nobody reports it."""

    pid: int
    gpu: int | None = None
    """The index of the GPU; a process that uses two GPUs is listed twice."""
    vram: int | None = None
    gpu_percent: float | None = None
    """Of the GPU's multiprocessors."""
    owner: str = ""
    container: str = ""
    """The container's name; empty outside of containers."""
    ours: bool = False
    """Whether xaiva launched the container."""
    cpu_percent: float | None = None
    """Of one core; on another host the average since the process started."""
    memory: int | None = None
    """Resident in the host's memory."""
    run_seconds: float | None = None
    command: str = ""
    started: int = 0
    """Clock ticks since boot, which identify it together with the pid; 0: it is not a process of this machine."""

    @property
    def key(self) -> str:
        """Identifies it in a list."""
        return str(self.pid) if self.gpu is None else f"{self.pid} on GPU {self.gpu}"

    @property
    def can_be_ended(self) -> bool:
        """Whether it is a process of this machine."""
        return self.started > 0


class ProcessList(FrozenModel):
    """The processes: those on GPUs first, the largest of each kind first."""

    processes: list[ListedProcess]
    problems: list[str] = []
    """Containers whose processes the engine could not list, with the reason."""


class ProcessLister:
    """Lists processes. It keeps what the next list needs to compute CPU use; not thread-safe."""

    def __init__(self) -> None:
        self._sampler = ProcessSampler()

    def list(
        self, sample: GpuSample, containers: Iterable[Container] = (), client: docker.DockerClient | None = None
    ) -> ProcessList:
        """The processes on GPUs and, with a client, those of running containers. Raises EngineError.

        A sample of a driver that hangs adds none, because its values are outdated.
        """
        containers = list(containers)
        names, ours = {c.id: c.name for c in containers}, {c.id for c in containers if c.managed}
        sample = attribute_containers(sample, names, ours)
        gpus = [] if sample.state is GpuState.HUNG else sample.gpus
        tops, problems = _list_tops(client, containers) if client is not None else ({}, [])
        on_gpu_pids = {process.pid for gpu in gpus for process in gpu.processes}
        local_pids = {pid for identity, rows in tops.items() for pid in rows if container_id(pid) == identity}
        usages = self._sampler.sample(on_gpu_pids | local_pids)
        on_gpus = [
            ListedProcess(
                pid=process.pid,
                gpu=gpu.index,
                vram=process.memory,
                gpu_percent=process.utilisation,
                container=process.container,
                ours=process.ours,
                **(_usage_fields(usages[process.pid]) if process.pid in usages else {"command": process.name}),
            )
            for gpu in gpus
            for process in gpu.processes
        ]
        others = [
            ListedProcess(
                pid=pid,
                container=names[identity],
                ours=identity in ours,
                **(_usage_fields(usages[pid]) if pid in local_pids and pid in usages else row),
            )
            for identity, rows in tops.items()
            for pid, row in rows.items()
            if not (pid in local_pids and pid in on_gpu_pids)
        ]
        on_gpus.sort(key=lambda process: (-(process.vram or 0), process.pid))
        others.sort(key=lambda process: (-(process.memory or 0), process.pid))
        return ProcessList(processes=on_gpus + others, problems=problems)


def _list_tops(
    client: docker.DockerClient, containers: Iterable[Container]
) -> tuple[dict[str, dict[int, dict[str, Any]]], list[str]]:
    """The fields of each running container's processes by pid, and what could not be listed. Raises EngineError."""
    tops: dict[str, dict[int, dict[str, Any]]] = {}
    problems: list[str] = []
    for container in containers:
        if not container.running:
            continue
        try:
            with engine_errors(f"Processes of container {container.name}"):
                answer = client.api.top(container.id, f"-o {_TOP_COLUMNS}")
            tops[container.id] = {
                int(row[0]): _top_fields(row) for row in answer.get("Processes") or [] if row and row[0].isdigit()
            }
        except EngineError as error:
            if not engine_refused(error):
                raise
            problems.append(error.summary)
    return tops, problems


def _usage_fields(usage: ProcessUsage) -> dict[str, Any]:
    return usage.model_dump(exclude={"pid"})


def _top_fields(row: Sequence[str]) -> dict[str, Any]:
    """The fields of a process of another host from a row of `ps`."""
    _, owner, cpu, resident, seconds, command = [*row, *[""] * 6][:6]
    kibibytes = _number(resident)
    return {
        "owner": owner,
        "cpu_percent": _number(cpu),
        "memory": None if kibibytes is None else int(kibibytes) << 10,
        "run_seconds": _number(seconds),
        "command": redact_text(command),
    }


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
