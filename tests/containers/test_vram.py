"""The VRAM of containers, compared with what the service's ledger explains."""

from __future__ import annotations

import pytest

from core.api_schema import LedgerStatus, ModelStatus, ServiceStatus
from core.containers.vram import vram_holders
from core.telemetry.gpus import Gpu, GpuProcess, GpuSample, GpuState

OURS, OTHER = "a" * 64, "b" * 64
MIB = 1 << 20


def sample(*memory: int | None) -> GpuSample:
    """A service's container with a process on each of two GPUs, another container, and a desktop."""
    first, second, other, desktop = memory
    gpus = [
        [
            GpuProcess(pid=1, memory=first, container_id=OURS, container="xaiva-plain", ours=True),
            GpuProcess(pid=2, memory=other, container_id=OTHER, container="b" * 12),
        ],
        [
            GpuProcess(pid=3, memory=second, container_id=OURS, container="xaiva-plain", ours=True),
            GpuProcess(pid=4, memory=desktop, name="Xorg"),
            GpuProcess(pid=5, memory=1),
        ],
    ]
    return GpuSample(state=GpuState.OK, gpus=[Gpu(index=at, processes=those) for at, those in enumerate(gpus)])


def status(host: str = "a" * 12, device: str = "cuda:0 a GPU", state: str = "ready") -> ServiceStatus:
    models = [ModelStatus(key="m", state=state)]
    ledger = LedgerStatus(device=device, total=8000 * MIB, reserve=0, ours=900 * MIB, models=models)
    return ServiceStatus(version="1", started=0, uptime=1, rss=1, host=host, ledger=ledger)


def test_the_service_s_container_is_set_against_its_ledger() -> None:
    holders = vram_holders(sample(600 * MIB, 500 * MIB, 2000 * MIB, 7 * MIB), status())
    assert [(one.name, one.gpus, one.memory) for one in holders] == [
        ("b" * 12, [0], 2000 * MIB),
        ("xaiva-plain", [0, 1], 1100 * MIB),
        ("Xorg", [1], 7 * MIB),
        ("process 5", [1], 1),
    ]
    parts = [(None, None), (900 * MIB, 200 * MIB), (None, None), (None, None)]
    assert [(one.models, one.unexplained) for one in holders] == parts
    less = vram_holders(sample(600 * MIB, 0, 0, 0), status())[0]
    assert less.unexplained == -300 * MIB  # what the ledger charges too much


@pytest.mark.parametrize(
    "said",
    [
        None,
        status(host="c" * 12),  # a service on another machine
        status(host=""),  # an older one, which does not say
        status(host="a"),  # a machine's name, by chance the start of an id
        status(device="memory"),
        status(state="loading"),  # charged, and not there yet
    ],
)
def test_what_cannot_be_set_against_each_other_is_not(said: ServiceStatus | None) -> None:
    holders = vram_holders(sample(600 * MIB, 500 * MIB, 1, 1), said)
    assert holders[0].memory == 1100 * MIB
    assert [(one.models, one.unexplained) for one in holders] == [(None, None)] * 4


def test_a_driver_that_does_not_tell() -> None:
    holders = {one.name: one for one in vram_holders(sample(None, 500 * MIB, None, 1), status())}
    assert (holders["xaiva-plain"].memory, holders["xaiva-plain"].models) == (None, 900 * MIB)
    assert holders["xaiva-plain"].unexplained is None
