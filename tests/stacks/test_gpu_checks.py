"""GPUs and VRAM of a stack, before anything is created."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.containers.gpu_access import GpuAccess
from core.containers.model import Container, ContainerState
from core.stacks.gpu_checks import gpu_findings
from core.stacks.model import ALL_GPUS, GpuRequest, ImageOrigin, Service, ServiceExtension, Stack
from core.stacks.observe import ImageState, Snapshot
from core.stacks.plan import plan_stack
from core.telemetry.gpus import Gpu, GpuProcess, GpuSample, GpuSampler, GpuState
from tests.support.fake_nvml import FakeNvml

GIB = 2**30


def gpu(index: int, **fields: Any) -> Gpu:
    return Gpu.model_validate({"index": index, "uuid": f"GPU-{index}a", "memory_total": 12 * GIB, **fields})


def service(name: str, vram: float | None, count: int = 0, *ids: str, scale: int = 1) -> Service:
    extension = ServiceExtension(vram_gib=vram)
    return Service(name, "x", ImageOrigin.READY, extension, gpus=GpuRequest(count, ids), scale=scale)


def errors(
    services: list[Service], *gpus: Gpu, state: GpuState = GpuState.OK, access: str = "device-request"
) -> list[str]:
    sample = GpuSample(state=state, detail="libnvidia-ml.so.1 is missing", gpus=[*gpus])
    return [finding.why for finding in gpu_findings(services, sample, GpuAccess(access), {"own"})]


BACKEND, AGENT = service("backend", 6, ALL_GPUS), service("agent", 9, 1)


def test_vram_of_all_services_on_one_gpu_is_added_up() -> None:
    assert errors([BACKEND, AGENT], gpu(0)) == ["backend 6 GiB + agent 9 GiB do not fit 12 GiB on GPU 0"]
    assert errors([BACKEND, service("agent", 9, 0, "1")], gpu(0), gpu(1, memory_total=16 * GIB)) == []
    assert errors([BACKEND, service("agent", 9, 0, "GPU-0a")], gpu(0), gpu(1)) != []
    assert errors([service("agent", 5, 1, scale=3)], gpu(0)) == ["agent 5 GiB x 3 does not fit 12 GiB on GPU 0"]


def test_vram_that_others_use_counts_and_that_of_the_stack_does_not() -> None:
    own = GpuProcess(pid=1, memory=9 * GIB, container_id="own")
    other = GpuProcess(pid=2, memory=8 * GIB)
    assert errors([AGENT], gpu(0, processes=[own])) == []
    assert errors([AGENT], gpu(0, processes=[own, other])) == [
        "agent 9 GiB does not fit 12 GiB on GPU 0, of which others use 8.0 GiB"
    ]


def test_vram_of_the_rest_of_the_stack_counts_when_only_one_service_comes_up() -> None:
    process = GpuProcess(pid=1, memory=6 * GIB, container_id="backend")
    stack = Stack("s", Path("/s"), "s", {one.name: one for one in (BACKEND, AGENT)})
    entry = Container(id="backend", name="b", image="x", image_id="", state=ContainerState.RUNNING, status="")
    snapshot = Snapshot(
        images={"x": ImageState("x")},
        containers={"backend": (entry,)},
        gpus=GpuSample(state=GpuState.OK, gpus=[gpu(0, processes=[process])]),
    )
    [finding] = plan_stack(stack, snapshot, ["agent"]).errors()
    assert finding.why == "agent 9 GiB does not fit 12 GiB on GPU 0, of which others use 6.0 GiB"


@pytest.mark.parametrize(
    ("services", "why"),
    [
        ([service("agent", None, 0, "7")], "this machine has no GPU 7"),
        ([service("agent", None, 0, "GPU-9")], "this machine has no GPU GPU-9"),
        ([service("agent", None, 3)], "it asks for 3 GPUs, and this machine has 1"),
        ([service("agent", 4)], "it has `vram_gib`, but asks for no GPU"),
        ([service("agent", None, 0, "MIG-1")], "whether there is a MIG-1 cannot be seen here"),
    ],
)
def test_a_gpu_that_is_not_there(services: list[Service], why: str) -> None:
    assert errors(services, gpu(0)) == [why]


def test_unknown_is_never_fine() -> None:
    assert errors([AGENT], state=GpuState.NO_LIBRARY) == ["libnvidia-ml.so.1 is missing"]
    assert errors([AGENT], gpu(0), state=GpuState.LOST) != []
    assert errors([AGENT], gpu(0, memory_total=None)) == ["the driver does not say how much VRAM it has"]
    assert "neither NVIDIA's runtime nor CDI" in errors([AGENT], gpu(0), access="none")[0]
    [remote] = gpu_findings([AGENT], None, GpuAccess.UNKNOWN, ())
    assert (remote.level.value, remote.code) == ("warning", "gpu-unknown")
    assert errors([service("web", None)], state=GpuState.NO_LIBRARY, access="none") == []


def test_a_driver_is_read_as_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FakeNvml(tmp_path, "gpu gtx1060").env.items():
        monkeypatch.setenv(name, value)
    with GpuSampler() as sampler:
        sample = sampler.sample()
    assert [gpu.name for gpu in sample.gpus] == ["NVIDIA GeForce GTX 1060 6GB"]
    [finding] = gpu_findings([AGENT], sample, GpuAccess.DEVICE_REQUEST, ())
    assert finding.why.startswith("agent 9 GiB does not fit 6 GiB on GPU 0")
