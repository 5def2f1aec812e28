"""The VRAM of a real container's process is attributed to it, with any version of cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.api_schema import LedgerStatus, ServiceStatus
from core.containers.vram import vram_holders
from core.telemetry.gpus import GpuSampler, attribute_containers
from tests.support.engine import BASE_IMAGE, TestEngine
from tests.support.fake_nvml import FakeNvml


@pytest.mark.engine
def test_process_of_a_container(engine: TestEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = engine.docker("run", "-d", BASE_IMAGE, "sleep", "1000").strip()
    pid = engine.docker("inspect", "--format", "{{.State.Pid}}", identity).strip()
    fake = FakeNvml(tmp_path, "gpu rtx4090", f"process 0 {pid} 4096")
    for name, value in fake.env.items():
        monkeypatch.setenv(name, value)
    try:
        with GpuSampler() as sampler:
            sample = attribute_containers(sampler.sample(), {identity: "detector"}, {identity})
        host = engine.docker("exec", identity, "hostname").strip()
    finally:
        engine.docker("rm", "-f", identity)
    (process,) = sample.gpus[0].processes
    assert (process.name, process.container_id) == ("sleep", identity)
    assert (process.container, process.ours, process.memory) == ("detector", True, 4096)
    ledger = LedgerStatus(device="cuda:0 a GPU", total=1 << 33, reserve=0, ours=4000)
    (held,) = vram_holders(sample, ServiceStatus(version="1", started=0, uptime=1, rss=1, host=host, ledger=ledger))
    assert (held.name, held.memory, held.models, held.unexplained) == ("detector", 4096, 4000, 96)
