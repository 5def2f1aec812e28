"""VRAM of a real container's process is attributed to that container, whatever cgroups this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.telemetry.gpus import GpuSampler, attribute
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
            sample = attribute(sampler.sample(), {identity: "detector"}, {identity})
    finally:
        engine.docker("rm", "-f", identity)
    (process,) = sample.gpus[0].processes
    assert (process.name, process.container_id) == ("sleep", identity)
    assert (process.container, process.ours, process.memory) == ("detector", True, 4096)
