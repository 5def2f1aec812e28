"""The processes of GPUs and containers, with a real engine and a fake driver."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from core.containers import processes as module
from core.containers.listing import list_containers
from core.containers.processes import ProcessList, ProcessLister
from core.engine import connect_engine
from core.labels import PRESET, SITE
from core.process_identity import start_time
from core.site import Site
from core.telemetry.gpus import GpuSample, GpuSampler, GpuState
from tests.support import until
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.fake_nvml import FakeNvml

NO_GPU = GpuSample(state=GpuState.NO_LIBRARY)


@pytest.fixture
def detector(engine: TestEngine) -> Iterator[tuple[str, int]]:
    """A container of xaiva with two processes: its name, and the pid of its first process."""
    labels = [word for label in (f"{PRESET}=small", f"{SITE}=/somewhere") for word in ("--label", label)]
    engine.docker("run", "-d", "--name", "detector", *labels, BASE_IMAGE, "sh", "-c", "sleep 1001 & sleep 1002")
    until(lambda: len(engine.docker("top", "detector").splitlines()) == 4)  # a header, the shell and both
    yield "detector", int(engine.docker("inspect", "--format", "{{.State.Pid}}", "detector"))
    engine.docker("rm", "-f", "detector")


def listed(site: Site, sample: GpuSample) -> ProcessList:
    with closing(connect_engine(site)) as client:
        return ProcessLister().list(sample, list_containers(client), client)


@pytest.mark.engine
def test_processes_of_a_gpu_and_of_its_container(
    engine_site: Site, detector: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, pid = detector
    fake = FakeNvml(
        tmp_path,
        "gpu rtx4090",
        "gpu rtx4090",
        f"process 0 {os.getpid()} 9000",
        f"process 1 {pid} 4096",
        f"busy 1 {pid} 62",
    )
    for variable, value in fake.env.items():
        monkeypatch.setenv(variable, value)
    with GpuSampler() as sampler:
        mine, first, *others = listed(engine_site, sampler.sample()).processes
    assert (mine.pid, mine.gpu, mine.vram, mine.gpu_percent, mine.container) == (os.getpid(), 0, 9000, None, "")
    assert (first.pid, first.gpu, first.vram, first.gpu_percent) == (pid, 1, 4096, 62)
    assert (first.container, first.ours, first.owner, first.started) == (name, True, "root", start_time(pid))
    assert sorted(process.command for process in others) == ["sleep 1001", "sleep 1002"]
    assert {(process.container, process.gpu, process.can_be_ended) for process in others} == {(name, None, True)}


@pytest.mark.engine
def test_pids_of_another_host_cannot_be_ended(
    engine_site: Site, detector: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for an engine elsewhere: no process of this machine is in that container."""
    monkeypatch.setattr(module, "container_id", lambda pid: "")
    processes = listed(engine_site, NO_GPU).processes
    assert {process.command for process in processes} == {"sh -c sleep 1001 & sleep 1002", "sleep 1001", "sleep 1002"}
    assert not any(process.can_be_ended for process in processes)
    assert all(process.owner == "root" and process.memory and process.run_seconds is not None for process in processes)


def test_a_driver_that_hangs_adds_nothing(tmp_path: Path) -> None:
    hung = GpuSample.model_validate({"state": "hung", "gpus": [{"index": 0, "processes": [{"pid": os.getpid()}]}]})
    assert ProcessLister().list(hung).processes == []
