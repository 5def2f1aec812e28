"""Checks whether the GPUs of the machine have what the services of a stack ask for, all of them together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from core.containers.gpu_access import GpuAccess, missing_toolkit_finding
from core.findings import Finding
from core.stacks.model import ALL_GPUS, Service
from core.telemetry.gpus import Gpu, GpuSample, gpu_problem


def needs_gpu(service: Service) -> bool:
    """Whether a service asks for a GPU or for VRAM."""
    return bool(service.gpus.count or service.gpus.ids or service.extension.vram_gib)


def gpu_findings(
    services: Sequence[Service], sample: GpuSample | None, access: GpuAccess, own: Collection[str]
) -> Iterator[Finding]:
    """Everything that would keep the services from their GPUs; `own` are the ids of their containers."""
    users = [service for service in services if needs_gpu(service)]
    if not users:
        return
    names = ", ".join(service.name for service in users)
    for service in users:
        if not (service.gpus.count or service.gpus.ids):
            why = "it has `vram_gib`, but asks for no GPU"
            yield Finding.error("gpu-none", f"Service {service.name}", why, "add: gpus: all")
    if access is GpuAccess.NONE:
        yield missing_toolkit_finding(f"services {names}")
    if sample is None:
        why = "the engine is on another machine, whose GPUs cannot be read from here"
        yield Finding.warning("gpu-unknown", f"GPUs of {names}", why, "see on that machine: nvidia-smi")
        return
    if problem := gpu_problem(sample):
        what, why, remedy = problem
        yield Finding.error("gpu-missing", f"{what}, and {names} needs one" if len(users) == 1 else what, why, remedy)
        return
    for service in users:
        yield from _missing(service, sample.gpus)
    for gpu in sample.gpus:
        yield from _too_much(gpu, [service for service in users if gpu in _gpus_of(service, sample.gpus)], own)


def _gpus_of(service: Service, gpus: Sequence[Gpu]) -> list[Gpu]:
    """The GPUs that the engine would give to a service; a count takes the first ones."""
    named = [gpu for gpu in gpus if any(_is_meant(gpu, word) for word in service.gpus.ids)]
    counted = gpus if service.gpus.count == ALL_GPUS else gpus[: service.gpus.count]
    return [gpu for gpu in gpus if gpu in named or gpu in counted]


def _is_meant(gpu: Gpu, word: str) -> bool:
    return word == str(gpu.index) or (bool(gpu.uuid) and gpu.uuid.startswith(word))


def _missing(service: Service, gpus: Sequence[Gpu]) -> Iterator[Finding]:
    there = ", ".join(f"{gpu.index} ({gpu.uuid or gpu.name})" for gpu in gpus)
    for word in service.gpus.ids:
        if word.startswith("MIG-") or "=" in word:
            why = f"whether there is a {word} cannot be seen here"
            yield Finding.warning("gpu-unknown", f"Service {service.name}", why, "see: nvidia-smi -L")
        elif not any(_is_meant(gpu, word) for gpu in gpus):
            why = f"this machine has no GPU {word}"
            yield Finding.error("gpu-missing", f"Service {service.name}", why, f"its GPUs: {there}")
    if service.gpus.count > len(gpus):
        why = f"it asks for {service.gpus.count} GPUs, and this machine has {len(gpus)}"
        yield Finding.error("gpu-missing", f"Service {service.name}", why, f"its GPUs: {there}")


def _too_much(gpu: Gpu, users: Sequence[Service], own: Collection[str]) -> Iterator[Finding]:
    asking = [service for service in users if service.extension.vram_gib]
    needed = sum((service.extension.vram_gib or 0) * service.scale for service in asking)
    if not asking:
        return
    if gpu.memory_total is None:
        why = "the driver does not say how much VRAM it has"
        yield Finding.warning("vram-unknown", f"GPU {gpu.index}", why, "see: nvidia-smi")
        return
    foreign = sum(process.memory or 0 for process in gpu.processes if process.container_id not in own)
    total, used = gpu.memory_total / 2**30, foreign / 2**30
    if needed <= total - used:
        return
    parts = [f"{one.name} {one.extension.vram_gib:g} GiB" + f" x {one.scale}" * (one.scale > 1) for one in asking]
    others = f", of which others use {used:.1f} GiB" if foreign else ""
    verb = "do" if len(asking) > 1 else "does"
    yield Finding.error(
        code="vram",
        what=f"GPU {gpu.index}",
        why=f"{' + '.join(parts)} {verb} not fit {total:.0f} GiB on GPU {gpu.index}{others}",
        remedy="give one of them another GPU (`device_ids`), or start fewer: xaiva stack up STACK SERVICE",
    )
