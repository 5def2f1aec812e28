"""GPU samples through the real NVML binding with a fake library: the figures, and every way it can fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.telemetry import gpus as module
from core.telemetry.gpus import Gpu, GpuProcess, GpuSample, GpuSampler, GpuState, attribute_containers
from core.telemetry.process_info import container_id, process_name
from tests.support import until
from tests.support.fake_nvml import FakeNvml

GIB = 1 << 30


@pytest.fixture
def nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """The fake library, with no GPU yet."""
    fake = FakeNvml(tmp_path)
    for name, value in fake.env.items():
        monkeypatch.setenv(name, value)
    return fake


@pytest.fixture
def sampler() -> Iterator[GpuSampler]:
    with GpuSampler(deadline=30) as made:  # on a busy machine the process that asks the driver may stand still
        yield made


def test_two_gpus_with_all_figures(nvml: FakeNvml, sampler: GpuSampler) -> None:
    nvml.say("gpu rtx4090", "util 0 73", "throttle 0 0x44", f"used 0 {8 * GIB}", "gpu a100")
    sample = sampler.sample()
    assert (sample.state, sample.driver, sample.cuda) == (GpuState.OK, "550.54.15", "12.4")
    first, second = sample.gpus
    assert (first.name, first.architecture, first.compute_capability) == (
        "NVIDIA GeForce RTX 4090",
        "Ada Lovelace",
        "8.9",
    )
    assert first.uuid == "GPU-fa4e0000-0000-4000-8000-000000000000"
    assert (first.utilisation, first.memory_used, first.memory_total) == (73, 8 * GIB, 24 * GIB)
    assert (first.temperature, first.fan, first.power_limit) == (63, 66, 450)
    assert 23 < (first.power or 0) < 450
    assert (first.clock_graphics, first.clock_graphics_max, first.clock_memory) == (2985, 3105, 10501)
    assert first.throttle == ["power cap", "hardware thermal"]
    assert (first.ecc, first.ecc_corrected, first.mig) == (None, None, None)
    assert (second.ecc, second.ecc_corrected, second.ecc_uncorrected, second.mig) == (True, 3, 0, False)
    assert (second.fan, second.throttle) == (None, [])  # idle is no throttling
    assert abs(sample.taken - time.time()) < 60


def test_old_driver_and_old_gpu(nvml: FakeNvml, sampler: GpuSampler) -> None:
    """Before R510: older functions are used, and memory has what the driver reserves in it."""
    nvml.say("old", "driver 470.256.02", "cuda 11040", "gpu gtx1060", f"process 0 {os.getpid()} {GIB}")
    (gpu,) = sampler.sample().gpus
    assert (gpu.architecture, gpu.compute_capability, gpu.ecc, gpu.mig) == ("Pascal", "6.1", None, None)
    assert gpu.memory_used == GIB + (512 << 20) + (300 << 20)
    assert gpu.throttle == []
    assert [(process.pid, process.memory) for process in gpu.processes] == [(os.getpid(), GIB)]


def test_divided_gpu_has_no_utilisation(nvml: FakeNvml, sampler: GpuSampler) -> None:
    nvml.say("gpu h100-mig")
    (gpu,) = sampler.sample().gpus
    assert (gpu.mig, gpu.utilisation, gpu.memory_total) == (True, None, 80 * GIB)


def test_processes_are_named(nvml: FakeNvml, sampler: GpuSampler) -> None:
    nvml.say("gpu rtx4090", f"process 0 {os.getpid()} 1024", "process 0 4194999 2048")
    (gpu,) = sampler.sample().gpus
    mine, gone = sorted(gpu.processes, key=lambda process: process.pid)
    assert mine.name == Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    assert (gone.name, gone.memory, gone.container_id) == ("", 2048, "")


def test_utilisation_of_processes(nvml: FakeNvml, sampler: GpuSampler) -> None:
    """An idle process has 0, which NVML does not list; a driver that does not tell leaves it unknown."""
    nvml.say("gpu rtx4090", "gpu gtx1060", "process 0 11 1", "process 0 12 1", "process 1 11 1", "busy 0 11 62")
    first, second = sampler.sample().gpus
    assert [(process.pid, process.utilisation) for process in first.processes] == [(11, 62), (12, 0)]
    assert [process.utilisation for process in second.processes] == [None]
    nvml.say("gpu rtx4090", "process 0 11 1", "busy 0 11 0")
    assert [process.utilisation for process in sampler.sample().gpus[0].processes] == [0]


@pytest.mark.parametrize(
    ("code", "state", "said"),
    [
        (9, GpuState.NO_DRIVER, "not loaded"),
        (18, GpuState.ERROR, "different versions"),
        (4, GpuState.ERROR, "may not talk"),
        (999, GpuState.ERROR, "Unknown Error"),
    ],
)
def test_driver_that_cannot_be_used(nvml: FakeNvml, sampler: GpuSampler, code: int, state: GpuState, said: str) -> None:
    nvml.say(f"init {code}")
    sample = sampler.sample()
    assert sample.state is state
    assert said in sample.detail
    assert sample.gpus == []


def test_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: GpuSampler) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    probe = "import ctypes; ctypes.CDLL('libnvidia-ml.so.1')"
    if subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0:
        pytest.skip("this machine has the real library")
    assert sampler.sample().state is GpuState.NO_LIBRARY
    assert sampler.sample().state is GpuState.NO_LIBRARY


def test_driver_that_comes_later_is_seen(nvml: FakeNvml, sampler: GpuSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.say("init 9")
    assert sampler.sample().state is GpuState.NO_DRIVER
    nvml.say("gpu gtx1060")
    assert sampler.sample().state is GpuState.NO_DRIVER  # not asked at every sample: it costs a process
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    assert sampler.sample().state is GpuState.OK


def test_gpu_off_the_bus_leaves_the_others(nvml: FakeNvml, sampler: GpuSampler) -> None:
    nvml.say("gpu rtx4090", "gpu gtx1060")
    sampler.sample()
    nvml.say("gpu rtx4090", "gpu gtx1060", "lost 0", "util 1 50")
    sample = sampler.sample()
    assert sample.state is GpuState.LOST
    assert "GPU 0" in sample.detail
    lost, other = sample.gpus
    assert (lost.state, lost.name, lost.utilisation) == (GpuState.LOST, "NVIDIA GeForce RTX 4090", None)
    assert (other.state, other.utilisation) == (GpuState.OK, 50)


def test_gpu_lost_from_the_start(nvml: FakeNvml, sampler: GpuSampler) -> None:
    nvml.say("gpu rtx4090", "gpu gtx1060", "lost 1")
    sample = sampler.sample()
    assert [gpu.state for gpu in sample.gpus] == [GpuState.OK, GpuState.LOST]


def test_driver_that_hangs_is_a_state_and_recovers(nvml: FakeNvml) -> None:
    nvml.say("gpu rtx4090", "util 0 40")
    with GpuSampler(deadline=0.3) as sampler:
        assert sampler.sample().gpus[0].utilisation == 40
        nvml.say("gpu rtx4090", "util 0 80", "hang nvmlDeviceGetTemperature")
        late = sampler.sample()
        assert late.state is GpuState.HUNG
        assert "not answered" in late.detail
        assert late.gpus[0].utilisation == 40  # the last known
        assert late.age >= 0.3
        assert sampler.sample().age > late.age
        nvml.say("gpu rtx4090", "util 0 80")
        until(lambda: sampler.sample().state is GpuState.OK)
        assert sampler.sample().gpus[0].utilisation == 80


def test_close_does_not_wait_for_a_driver_that_hangs(nvml: FakeNvml) -> None:
    nvml.say("gpu rtx4090")
    sampler = GpuSampler(deadline=60)
    sampler.sample()
    nvml.say("gpu rtx4090", "hang all")
    found: list[GpuSample] = []
    thread = threading.Thread(target=lambda: found.append(sampler.sample()), daemon=True)
    thread.start()
    until(lambda: sampler._lock.locked())
    sampler.close()
    thread.join(10)  # far below its deadline
    assert not thread.is_alive()


def test_library_that_crashes_is_a_state(nvml: FakeNvml, sampler: GpuSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.say("gpu rtx4090")
    sampler.sample()
    nvml.say("crash")
    sample = sampler.sample()
    assert (sample.state, sample.gpus) == (GpuState.ERROR, [])
    assert str(-signal.SIGABRT) in sample.detail
    nvml.say("gpu rtx4090")
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    assert sampler.sample().state is GpuState.OK


def test_no_child_is_left(nvml: FakeNvml) -> None:
    nvml.say("gpu rtx4090")
    sampler = GpuSampler()
    sampler.sample()
    assert sampler._child is not None
    pid = sampler._child.pid
    sampler.close()
    assert not Path(f"/proc/{pid}").exists()


def test_child_ends_with_a_console_that_was_killed(nvml: FakeNvml) -> None:
    nvml.say("gpu rtx4090")
    program = (
        "from core.telemetry.gpus import GpuSampler\n"
        "s = GpuSampler(); s.sample(); print(s._child.pid, flush=True)\n"
        "import time; time.sleep(1000)"
    )
    console = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert console.stdout is not None
    child = int(console.stdout.readline())
    console.kill()
    console.wait()
    console.stdout.close()
    until(lambda: not Path(f"/proc/{child}").exists() or "\nState:\tZ" in Path(f"/proc/{child}/status").read_text())


def test_modules_of_the_working_folder_are_not_taken(
    nvml: FakeNvml, sampler: GpuSampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml.say("gpu rtx4090")
    (tmp_path / "pynvml.py").write_text("raise SystemExit('wrong module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert sampler.sample().state is GpuState.OK


def test_attribution_to_containers_and_to_us() -> None:
    ours, other = "a" * 64, "b" * 64
    processes = [
        GpuProcess(pid=1, memory=10, container_id=ours),
        GpuProcess(pid=2, memory=20, container_id=other),
        GpuProcess(pid=3, memory=30),
    ]
    sample = GpuSample(state=GpuState.OK, gpus=[Gpu(index=0, processes=processes)])
    attributed = attribute_containers(sample, {ours: "xaiva-plain"}, {ours}).gpus[0].processes
    assert [(process.container, process.ours) for process in attributed] == [
        ("xaiva-plain", True),
        ("b" * 12, False),
        ("", False),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "0::/system.slice/docker-{id}.scope\n",
        "0::/docker/{id}\n",
        "12:pids:/docker/{id}\n11:memory:/docker/{id}\n",
        "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope\n",
    ],
)
def test_container_of_a_process(tmp_path: Path, line: str) -> None:
    identity = "0123456789abcdef" * 4
    (tmp_path / "7").mkdir()
    (tmp_path / "7/cgroup").write_text(line.format(id=identity))
    (tmp_path / "7/comm").write_text("python3\n")
    assert container_id(7, tmp_path) == identity
    assert process_name(7, tmp_path) == "python3"


def test_process_without_a_container(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/cgroup").write_text("0::/user.slice/user-1000.slice/session-3.scope\n")
    assert container_id(7, tmp_path) == container_id(8, tmp_path) == ""
