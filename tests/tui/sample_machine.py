"""The sample's GPUs, host and containers."""

from __future__ import annotations

from core.containers.model import Container, ContainerHealth, ContainerPort, ContainerState, ContainerStats
from core.containers.processes import ListedProcess
from core.telemetry.disks import Disk
from core.telemetry.gpus import Gpu, GpuProcess, GpuSample, GpuState
from core.telemetry.history import Trend
from core.telemetry.host import HostSample, Interface, Temperature
from tui.process_source import Processes
from tui.sources import Containers, LiveSample

GIB = 1 << 30
MIB = 1 << 20
NOON = 1_769_860_800.0  # 2026-01-31 12:00 UTC: long ago, so that every time shows with its date


def wave(low: float, high: float, count: int = 300) -> list[float]:
    """A load that goes up and down."""
    return [low + (high - low) * ((index * 7) % 23 + (index // 20) % 9) / 30 for index in range(count)]


def gpus() -> LiveSample:
    """A busy card and a small old one."""
    first = Gpu(
        index=0,
        name="NVIDIA GeForce RTX 4090",
        utilisation=73,
        memory_total=24 * GIB,
        memory_used=19 * GIB,
        temperature=71,
        power=312,
        clock_graphics=2520,
        processes=[GpuProcess(pid=4711, memory=18 * GIB, name="python", container="xaiva-dubbing", ours=True)],
    )
    second = Gpu(
        index=1,
        name="NVIDIA GeForce GTX 1060 6GB",
        utilisation=18,
        memory_total=6 * GIB,
        memory_used=2 * GIB,
        temperature=54,
        power=61,
        clock_graphics=1708,
    )
    sample = GpuSample(state=GpuState.OK, driver="550.90.07", cuda="12.4", gpus=[first, second])
    vram = {"vram0": wave(12 * GIB, 19 * GIB), "vram1": wave(2 * GIB, 2 * GIB)}
    return LiveSample(sample, {"gpu0": wave(40, 95), "gpu1": wave(5, 30), **vram})


def processes() -> Processes:
    """A process of xaiva's container on a GPU, somebody's notebook on the other one, and a database."""
    dubbing = ListedProcess(
        pid=4711,
        gpu=0,
        vram=18 * GIB,
        gpu_percent=62,
        owner="root",
        container="xaiva-dubbing-cuda13.0",
        ours=True,
        cpu_percent=138,
        memory=int(18.2 * GIB),
        run_seconds=11_000,
        command="python3 -m core.inference serve",
        started=1,
    )
    notebook = ListedProcess(
        pid=12042,
        gpu=1,
        vram=GIB,
        owner="anna",
        cpu_percent=4,
        memory=2 * GIB,
        run_seconds=250_000,
        command="/home/anna/venv/bin/python -m ipykernel_launcher -f kernel-1.json",
        started=1,
    )
    database = ListedProcess(
        pid=1199,
        owner="999",
        container="postgres",
        cpu_percent=0.4,
        memory=96 * MIB,
        run_seconds=1_600_000,
        command="postgres",
        started=1,
    )
    trends = {
        dubbing.key: {
            "cpu": Trend(wave(90, 150, 100), 300),
            "vram": Trend(wave(12 * GIB, 18 * GIB, 100), 300),
            "gpu": Trend(wave(30, 90, 100), 300),
        }
    }
    return Processes([dubbing, notebook, database], trends, [])


def host() -> LiveSample:
    """Sixteen cores, a disk that fills up."""
    sample = HostSample(
        taken=NOON,
        cpu_percent=41,
        cores_percent=[41] * 16,
        cores=16,
        load=(5.2, 4.9, 4.1),
        memory_total=64 * GIB,
        memory_used=38 * GIB,
        memory_available=26 * GIB,
        swap_total=0,
        swap_used=0,
        disks=[
            Disk(path="/srv/site/artifacts", label="artifacts", total=900 * GIB, used=640 * GIB, free=260 * GIB),
            Disk(path="/", total=100 * GIB, used=97 * GIB, free=3 * GIB),
        ],
        network=[Interface(name="eno1", received_rate=11.2 * MIB, sent_rate=0.4 * MIB)],
        received_rate=11.2 * MIB,
        sent_rate=0.4 * MIB,
        temperatures=[Temperature(name="Package", celsius=63)],
        uptime=19 * 86400,
    )
    return LiveSample(sample, {"cpu": wave(20, 70)})


def containers() -> Containers:
    """Two containers of xaiva, one unhealthy, and one of another program."""
    good = Container(
        id="a" * 64,
        name="xaiva-cpu-debian12",
        image="xaiva/cpu-debian12:latest",
        image_id="sha256:1",
        state=ContainerState.RUNNING,
        status="Up 3 hours (healthy)",
        health=ContainerHealth.HEALTHY,
        ports=[ContainerPort(container_port=8600, host_ip="0.0.0.0", host_port=8600)],
        created=NOON,
        preset="cpu-debian12",
        project="hall",
        service="inference",
    )
    unwell = good.model_copy(
        update={
            "id": "b" * 64,
            "name": "xaiva-dubbing-cuda13.0",
            "image": "xaiva/dubbing-cuda13.0:latest",
            "status": "Up 4 minutes (unhealthy)",
            "health": ContainerHealth.UNHEALTHY,
            "health_output": "connection refused",
            "ports": [ContainerPort(container_port=8600, host_ip="0.0.0.0", host_port=8601)],
            "preset": "dubbing-cuda13.0",
            "service": "dubbing",
        }
    )
    other = Container(
        id="c" * 64,
        name="postgres",
        image="postgres:16",
        image_id="sha256:3",
        state=ContainerState.RUNNING,
        status="Up 19 days",
        created=NOON,
        project="hall",
        service="postgres",
    )
    stats = {
        good.id: ContainerStats(cpu_percent=138, memory=int(1.4 * GIB), memory_limit=64 * GIB, pids=31),
        unwell.id: ContainerStats(cpu_percent=4, memory=int(18.2 * GIB), memory_limit=64 * GIB, pids=112),
    }
    trends = {
        good.id: {
            "cpu": Trend(wave(90, 180), 300, 5),
            "memory": Trend(wave(1.1 * GIB, 1.4 * GIB), 300, 5),
            "received": Trend(wave(2 * MIB, 11 * MIB), 300, 5),
            "sent": Trend(wave(0, 0.4 * MIB), 300, 5),
            "read": Trend(wave(0, 0), 300, 5),
            "written": Trend(wave(0, 3 * MIB), 300, 5),
        }
    }
    return Containers([good, unwell, other], stats, trends)
