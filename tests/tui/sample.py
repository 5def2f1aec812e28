"""A site as it looks on a good day with two troubles: what snapshots and the pictures of the documentation show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.artifacts.lockfile import Kind, Lock, LockedFile, LockedImage, LockedLayer
from core.artifacts.plan import SyncPlan
from core.containers.model import Container, Health, Port, Stats
from core.containers.model import State as ContainerState
from core.errors import InputError
from core.findings import Finding, Level
from core.images.history import BuildRecord, Outcome, StageRecord, StepRecord, log_path
from core.inference.schemas import CameraState, CameraStatus, ServiceStatus
from core.logs import Spool
from core.operations.model import Failure, Operation, State
from core.presets.compat import Gpu as KnownGpu
from core.presets.compat import TargetMachine
from core.presets.model import Preset
from core.presets.store import PresetEntry
from core.progress import Stage, StageState
from core.site import Site
from core.telemetry.disks import Disk
from core.telemetry.gpus import Gpu, GpuProcess, GpuSample, GpuState
from core.telemetry.host import HostSample, Interface, Temperature
from tui.sources import Containers, Live, PresetView
from tui.store import Store

GIB = 1 << 30
MIB = 1 << 20
NOON = 1_769_860_800.0  # 2026-01-31 12:00 UTC: long ago, so that every time shows with its date
GTX_1060 = KnownGpu("GTX 1060", "6.1", 6.0)


def wave(low: float, high: float, count: int = 300) -> list[float]:
    """A load that goes up and down."""
    return [low + (high - low) * ((index * 7) % 23 + (index // 20) % 9) / 30 for index in range(count)]


def gpus() -> Live:
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
    return Live(sample, {"gpu0": wave(40, 95), "gpu1": wave(5, 30)})


def host() -> Live:
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
    return Live(sample, {"cpu": wave(20, 70)})


def containers() -> Containers:
    """Two of ours, one unwell; one of somebody else's."""
    good = Container(
        id="a" * 64,
        name="xaiva-cpu-debian12",
        image="xaiva/cpu-debian12:latest",
        image_id="sha256:1",
        state=ContainerState.RUNNING,
        status="Up 3 hours (healthy)",
        health=Health.HEALTHY,
        ports=[Port(container_port=8600, host_ip="0.0.0.0", host_port=8600)],
        created=NOON,
        preset="cpu-debian12",
    )
    unwell = good.model_copy(
        update={
            "id": "b" * 64,
            "name": "xaiva-dubbing-cuda13.0",
            "image": "xaiva/dubbing-cuda13.0:latest",
            "status": "Up 4 minutes (unhealthy)",
            "health": Health.UNHEALTHY,
            "health_output": "connection refused",
            "ports": [Port(container_port=8600, host_ip="0.0.0.0", host_port=8601)],
            "preset": "dubbing-cuda13.0",
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
    )
    stats = {
        good.id: Stats(cpu_percent=138, memory=int(1.4 * GIB), memory_limit=64 * GIB, pids=31),
        unwell.id: Stats(cpu_percent=4, memory=int(18.2 * GIB), memory_limit=64 * GIB, pids=112),
    }
    return Containers([good, unwell, other], stats)


def cameras() -> ServiceStatus:
    """Three live, one lost."""
    names = ("gate-1", "gate-2", "hall", "yard")
    found = [
        CameraStatus(
            id=name,
            name=name,
            source=f"rtsp://10.0.0.{20 + index}/stream",
            state=CameraState.LIVE,
            width=1920,
            height=1080,
            codec="h264",
            fps=25.0,
            processed_fps=12.5,
            frames=81_230,
            dropped=12,
            last_frame_age=0.04,
            latency=0.12,
            score=0.31,
            scores=[value / 100 for value in wave(5, 60, 120)],
            since=NOON,
        )
        for index, name in enumerate(names)
    ]
    lost = found[3].model_copy(
        update={
            "state": CameraState.DISCONNECTED,
            "reason": "no frame for 10 s",
            "retry_in": 4,
            "reconnects": 3,
            "score": None,
            "last_frame_age": 14.0,
            "scores": [],
            "fps": 0.0,
        }
    )
    return ServiceStatus(version="0.1.0", started=NOON, uptime=10_800, rss=412 * MIB, cameras=[*found[:3], lost])


def operation(identifier: int, kind: str, subject: str, state: State, seconds: float, **more: Any) -> Operation:
    """One row of the ledger."""
    started = NOON + identifier * 600
    fields: dict[str, Any] = {
        "id": identifier,
        "kind": kind,
        "subject": subject,
        "key": f"preset:{subject}",
        "options": {},
        "state": state,
        "attempt": 1,
        "created": started,
        "started": started,
        "ended": 0 if state.live else started + seconds,
        "seconds": seconds,
        "cancel_requested": False,
        "by": "ana from 10.0.0.7",
        "pid": 100 + identifier,
        "log": "",
    }
    return Operation(**{**fields, **more})


def operations() -> list[Operation]:
    """A sync that runs, and what went before."""
    why = Failure(
        what="build of dubbing-cuda13.0", why="stage tts-cosyvoice: no space left on device", remedy="free 12 GiB"
    )
    return [
        operation(14, "sync", "ubuntu22.04-cuda12.6", State.RUNNING, 187),
        operation(13, "build", "dubbing-cuda13.0", State.FAILED, 412, failure=why),
        operation(12, "build", "cpu-debian12", State.DONE, 96, result={"image": "xaiva/cpu-debian12:latest"}),
        operation(11, "verify", "cpu-debian12", State.DONE, 3),
        operation(10, "sync", "cpu-debian12", State.DONE, 41),
        operation(9, "lock", "cpu-debian12", State.DONE, 12),
    ]


def stages() -> list[Stage]:
    """A sync in the middle."""
    return [
        Stage(id="plan", title="Plan", state=StageState.DONE, started=NOON, ended=NOON + 1),
        Stage(
            id="fetch",
            title="Fetch",
            state=StageState.RUNNING,
            done=3.1 * GIB,
            total=4.6 * GIB,
            unit="bytes",
            detail="28.4 MiB/s",
        ),
        Stage(
            id="torch",
            title="torch-2.7.1+cu126",
            state=StageState.RUNNING,
            done=512 * MIB,
            total=821 * MIB,
            unit="bytes",
            parent="fetch",
        ),
        Stage(id="verify", title="Verify", state=StageState.WAITING),
    ]


def lock(preset: str) -> Lock:
    """A lock of some files."""
    wheel = "0" * 64
    sizes = {"numpy": 18 * MIB, "opencv_python_headless": 50 * MIB, "av": 33 * MIB, "pydantic": MIB}
    files = [
        LockedFile(path=f"layers/common/wheels/{name}.whl", size=size, sha256=wheel, kind=Kind.WHEEL, url="")
        for name, size in sizes.items()
    ]
    files.append(LockedFile(path="images/base/blob", size=28 * MIB, sha256=wheel, kind=Kind.IMAGE, url=""))
    layer = LockedLayer(
        name="common", requirements="layers/common/requirements.txt", wheels=[one.path for one in files[:4]]
    )
    base = LockedImage(reference="debian:bookworm-slim", tag="xaiva-base/debian:1", config_digest="sha256:" + "4f" * 32)
    return Lock(
        preset=preset, preset_sha256="1" * 64, python_version="3.11", base_image=base, layers=[layer], files=files
    )


def plan() -> SyncPlan:
    """Most of it is there."""
    return SyncPlan(
        preset="cpu-debian12",
        files=5,
        bytes=130 * MIB,
        present_files=3,
        present_bytes=79 * MIB,
        fetch_files=2,
        fetch_bytes=51 * MIB,
        resumed_bytes=12 * MIB,
        link_files=0,
        link_bytes=0,
        make_files=0,
        make_bytes=0,
        corrupt=["layers/common/wheels/numpy.whl"],
        free_bytes=260 * GIB,
        needed_bytes=51 * MIB,
        seconds=4,
    )


def preset(base: str, python: str, words: str, **more: Any) -> Preset:
    """One preset; of its own, so that a better shipped preset does not change the pictures."""
    run = {"ports": ["8600:8600"], "volumes": ["./data:/data", "./models:/models"], "gpus": "all"}
    fields = {"base_image": base, "python_version": python, "metadata": {"description": words}, "run": run, **more}
    return Preset.model_validate(fields)


def presets() -> list[PresetView]:
    """Four presets on a machine with a GTX 1060, and a broken file between them."""
    target = TargetMachine((GTX_1060,), "535.183.01")
    pascal = Finding(
        level=Level.ERROR,
        code="gpu-architecture",
        what="PyTorch 2.9.1+cu130 does not run on a GTX 1060",
        why="its wheels have no code for compute capability 6.1",
        remedy="take 2.7.1+cu126, the newest that has, on nvidia/cuda:12.6.3",
    )
    driver = Finding(
        level=Level.WARNING,
        code="driver-floor",
        what="CUDA 12.6 wants driver 560.28 or newer",
        why="535.183.01 runs it in compatibility mode",
        remedy="update the driver, or take CUDA 12.2",
    )
    layers = [
        {"name": "common", "requirements": ["numpy>=1.26.4,<2"]},
        {"name": "stt-whisperx", "requirements": ["whisperx"]},
    ]
    known: dict[str, tuple[Preset, list[Finding]]] = {
        "api-backend": (preset("nvidia/cuda:12.1.1-base-ubuntu22.04", "3.10", "The API backend"), []),
        "cpu-debian12": (preset("debian:bookworm-slim", "3.11", "CPU only, runs everywhere", layers=layers[:1]), []),
        "dubbing-cuda13.0": (
            preset(
                "nvidia/cuda:13.0.1-base-ubuntu22.04",
                "3.10",
                "Dubbing with WhisperX",
                layers=layers,
                pytorch={"version": "2.9.1+cu130", "components": ["torch", "torchaudio"]},
            ),
            [pascal, driver],
        ),
        "ubuntu22.04-cuda12.6": (
            preset("nvidia/cuda:12.6.3-base-ubuntu22.04", "3.10", "The last for Pascal"),
            [driver],
        ),
    }
    views = [
        PresetView(
            PresetEntry(name, Path(f"presets/{name}.json"), one),
            findings,
            lock(name) if name in ("cpu-debian12", "ubuntu22.04-cuda12.6") else None,
            False,
            target,
        )
        for name, (one, findings) in known.items()
    ]
    why = "line 4, pytorch.version: 'two' is not a version"
    broken = InputError("presets/old-site.json", why, 'write "2.1.0" or "2.1.0+cu118"')
    views.append(
        PresetView(PresetEntry("old-site", Path("presets/old-site.json"), error=broken), [], None, False, target)
    )
    return views


def builds() -> list[BuildRecord]:
    """Three builds of two presets."""

    def stage(name: str, seconds: float, cached: bool = False) -> StageRecord:
        step = StepRecord(title=f"RUN {name}", state="done", cached=cached, seconds=seconds)
        return StageRecord(name=name, state="done", cached=cached, seconds=seconds, steps=[step])

    done = BuildRecord(
        id="20260131T134000Z-1f3a2b",
        preset="cpu-debian12",
        tag="xaiva/cpu-debian12:latest",
        preset_sha256="ab" * 32,
        lock_sha256="cd" * 32,
        started=NOON + 6000,
        ended=NOON + 6096,
        outcome=Outcome.DONE,
        manifest_digest="sha256:" + "9c" * 32,
        stages=[stage("base", 1.2, True), stage("python", 8.4, True), stage("common", 61.3), stage("service", 22.0)],
    )
    failed = done.model_copy(
        update={
            "id": "20260131T135000Z-77aa01",
            "preset": "dubbing-cuda13.0",
            "started": NOON + 6600,
            "ended": NOON + 7012,
            "outcome": Outcome.FAILED,
            "error": "stage tts-cosyvoice: no space left on device",
            "last_lines": ["ERROR: Could not install packages due to an OSError: [Errno 28]"],
        }
    )
    older = done.model_copy(
        update={
            "id": "20260131T123000Z-0c0c0c",
            "started": NOON + 1800,
            "ended": NOON + 1921,
            "stages": done.stages[:3],
        }
    )
    return [failed, done, older]


LOG = """12:20:00	plan	5 files, 4.6 GiB; 3 of them are there
12:20:01	fetch	16 connections, at most 8 to one host
12:20:14	fetch	numpy-1.26.4-cp310-cp310-manylinux_2_17_x86_64.whl: whole, 18.2 MiB
12:20:31	fetch	nvidia_cudnn_cu12-9.5.1.17-py3-none-manylinux_2_28_x86_64.whl: resumed at 212 MiB
12:21:02	fetch	warning: one connection stalled for 20 s, trying again
12:22:40	torch	torch-2.7.1+cu126-cp310-cp310-manylinux_2_28_x86_64.whl: 512 MiB of 821 MiB
"""


BUILD_LOG = """[base] resolve image config for xaiva-base/debian:1
[python] Setting up python3.11 (3.11.2-6+deb12u5) ...
[common] Processing /layers/common/wheels/numpy.whl
[common] Successfully installed numpy-1.26.4 opencv-python-headless-4.10.0.84
[service] Successfully installed xaiva-console-0.1.0
"""


def write_logs(site: Site) -> None:
    """The logs of the operation that runs and of the builds."""
    for build in builds():
        path = log_path(site, build.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(BUILD_LOG)
    folder = site.state / "operations"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "14.log").write_text(LOG)


class SampleLog:
    """Stands in for `tui.container_log.ContainerLog`."""

    def __init__(self, _site: Site, name: str) -> None:
        self.lines = Spool(1 << 20)
        lost = "12:41:07 WARNING camera yard: no frame for 10 s, trying again in 4 s"
        self.lines.add(
            [f"12:00:0{index} INFO {name}: camera {one} is live" for index, one in enumerate(("gate-1", "hall"))]
        )
        self.lines.add([lost])

    def close(self) -> None:
        """Nothing is read."""


class SampleStore(Store):
    """A store whose sources have one answer each, whatever they are pointed at."""

    def point(self, name: str, fetch: Callable[[], Any]) -> None:
        """The answer is known already."""


class SampleSources:
    """Stands in for `tui.sources.Sources`."""

    def __init__(self, _site: Site) -> None:
        pass

    def table(self) -> dict[str, tuple[Callable[[], Any], float]]:
        """Every source answers at once, and the same for ever."""
        names = (gpus, host, containers, cameras, operations, presets, builds)
        known = {make.__name__: (_constant(make()), 3600.0) for make in names}
        details = {"operation": stages(), "plan": plan(), "build": None, "container": None}
        return {**known, **{name: (_constant(value), 3600.0) for name, value in details.items()}}

    def close(self) -> None:
        """Nothing was started."""


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value
