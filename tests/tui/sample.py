"""A site as it looks on a good day with two troubles: what snapshots and the pictures of the documentation show."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from functools import partial
from pathlib import Path
from typing import Any

from core.api_schema import (
    ActionResult,
    AlertKind,
    AnalyserStatus,
    Analysis,
    AnalysisState,
    CameraAlert,
    CameraRequest,
    CameraState,
    CameraStatus,
    Channel,
    ChannelKind,
    Clip,
    ConnectionTest,
    DayStatistics,
    Delivery,
    Detection,
    Event,
    EventPage,
    EventQuery,
    Fact,
    Learning,
    LedgerStatus,
    LoggerStatus,
    ModelStatus,
    OutboxStatus,
    Priority,
    Role,
    Rule,
    ServiceStatus,
    Statistics,
    StatisticsQuery,
    StorageStatus,
    User,
    Window,
    Zone,
)
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage, LockedLayer
from core.artifacts.sync_plan import SyncPlan
from core.containers.model import Container, ContainerHealth, ContainerPort, ContainerStats
from core.containers.model import ContainerState as ContainerState
from core.errors import InputError
from core.findings import Finding, Level
from core.images.build_history import BuildOutcome, BuildRecord, StageRecord, StepRecord, log_path
from core.images.render import stage_names
from core.log_lines import LineSpool
from core.operations.model import Operation, OperationFailure, OperationState
from core.presets.compat import GpuModel as KnownGpu
from core.presets.compat import TargetMachine
from core.presets.model import Preset
from core.presets.store import PresetEntry
from core.progress import Stage, StageState
from core.service_client import LoginIdentity
from core.site import Site
from core.telemetry.disks import Disk
from core.telemetry.gpus import Gpu, GpuProcess, GpuSample, GpuState
from core.telemetry.host import HostSample, Interface, Temperature
from tui.event_feed import EventList
from tui.formatters import previews as preview_format
from tui.screens.start_operation import Preview
from tui.sources import Containers, LiveSample, PresetView, ServiceView
from tui.store import Store

GIB = 1 << 30
MIB = 1 << 20
NOON = 1_769_860_800.0  # 2026-01-31 12:00 UTC: long ago, so that every time shows with its date
GTX_1060 = KnownGpu("GTX 1060", "6.1", 6.0)


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
    return LiveSample(sample, {"gpu0": wave(40, 95), "gpu1": wave(5, 30)})


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
    """Two of ours, one unwell; one of somebody else's."""
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
        good.id: ContainerStats(cpu_percent=138, memory=int(1.4 * GIB), memory_limit=64 * GIB, pids=31),
        unwell.id: ContainerStats(cpu_percent=4, memory=int(18.2 * GIB), memory_limit=64 * GIB, pids=112),
    }
    return Containers([good, unwell, other], stats)


def cameras() -> ServiceStatus:
    """Two live, one with an anomaly, one that learns, one frozen, one lost, one that failed, one that rests."""
    names = ("gate-1", "gate-2", "hall", "yard", "ramp", "dock", "depot", "office")
    live = [
        CameraStatus(
            id=name,
            name=name,
            source=f"rtsp://10.0.0.{20 + index}/stream",
            state=CameraState.LIVE,
            width=1920,
            height=1080,
            codec="h264",
            fps=25.0,
            processed_fps=5.0,
            frames=81_230,
            dropped=12 if index == 2 else 0,
            last_frame_age=0.04,
            latency=0.04,
            latency_p99=0.12,
            score=0.21 + index / 50,
            scores=[value / 100 for value in wave(5 + index * 3, 34 + index * 4, 60)],
            since=NOON,
            model="memory" if index % 2 == 0 else "motion",
            vram=212 * MIB if index % 2 == 0 else 0,
            decode_ms=4.2,
        )
        for index, name in enumerate(names)
    ]
    gate, gate2, hall, yard, ramp, dock, depot, office = live
    anomaly = [*hall.scores[:48], 0.44, 0.52, 0.63, 0.71, 0.69, 0.74, 0.81, 0.78, 0.72, 0.77, 0.74, 0.76]
    down = {"score": None, "last_frame_age": 14.0, "scores": [], "fps": 0.0, "processed_fps": 0.0, "latency": None}
    frozen = CameraAlert(kind=AlertKind.FROZEN, since=NOON, reason="the picture has not changed for 40 s")
    return ServiceStatus(
        version="0.1.0",
        started=NOON,
        uptime=10_800,
        rss=412 * MIB,
        cameras=[
            gate,
            gate2,
            hall.model_copy(update={"scores": anomaly, "score": 0.76, "anomaly": "0195"}),
            yard.model_copy(
                update={
                    **down,
                    "state": CameraState.DISCONNECTED,
                    "cause": "timeout",
                    "reason": "no frame for 10 s",
                    "retry_in": 4,
                    "reconnects": 3,
                }
            ),
            ramp.model_copy(update={"learning": Learning(done=258, wanted=600), "model": "memory"}),
            dock.model_copy(update={"alerts": [frozen]}),
            depot.model_copy(
                update={
                    **down,
                    "state": CameraState.FAILED,
                    "reason": "its pipeline broke down 5 times in 10 min",
                    "restarts": 5,
                }
            ),
            office.model_copy(update={"scheduled": False, "suspended_until": NOON + 3600}),
        ],
        ledger=LedgerStatus(
            device="cuda:0 NVIDIA GeForce GTX 1060 6GB",
            total=6 * GIB,
            reserve=500 * MIB,
            ours=980 * MIB,
            others=1100 * MIB,
            free=3564 * MIB,
            drift=14 * MIB,
            models=[
                ModelStatus(
                    key="memory:efficientnet-lite0",
                    state="ready",
                    provider="CUDA",
                    cost=212 * MIB,
                    measured=True,
                    leases=3,
                    rate=15.1,
                    wait=0.009,
                    batch=2.6,
                ),
                ModelStatus(
                    key="persons",
                    state="idle",
                    provider="CUDA",
                    cost=768 * MIB,
                    measured=True,
                    rate=0.2,
                    pinned=True,
                ),
            ],
        ),
        logger=LoggerStatus(state="behind", why="the database is locked", waiting=3, oldest=8.0, written=1204),
        analyser=AnalyserStatus(state="ready", backend="qwen2-vl-2b", answered=311, failed=2),
        outbox=OutboxStatus(waiting=2, oldest=190.0, sent=87, why="mail.example.org: connection refused"),
        storage=StorageStatus(clips=412, used=9 * GIB, free=260 * GIB),
        newest_event="0195",
        unacknowledged=4,
        zone="Europe/Berlin",
    )


def events() -> EventList:
    """What a day brought."""
    noon = datetime.fromtimestamp(NOON, timezone.utc)
    rows = (
        ("hall", "person", Priority.HIGH, 0.81, 0, "A person in dark clothes walks along the closed counters."),
        ("gate-1", "vehicle", Priority.NORMAL, 0.67, 31, "A white van stands in front of the gate with open doors."),
        ("gate-1", "anomaly", Priority.NORMAL, 0.58, 44, ""),
        ("dock", "object", Priority.CRITICAL, 0.93, 95, "A crate has fallen from a pallet and blocks the way."),
        ("yard", "anomaly", Priority.LOW, 0.52, 260, "Headlights of a passing car on the wall."),
        ("ramp", "person", Priority.NORMAL, 0.61, 431, "Two people load boxes."),
    )
    out = []
    for index, (camera, kind, priority, score, minutes, words) in enumerate(rows):
        started = noon - timedelta(minutes=minutes)
        done = index >= 4
        out.append(
            Event(
                id=f"0195-{index}",
                camera=camera,
                camera_name=camera,
                type=kind,
                priority=priority,
                started=started,
                decided=started + timedelta(seconds=1.2),
                ended=None if index == 0 else started + timedelta(seconds=20 + index * 7),
                score=score,
                threshold=0.5,
                detector="memory",
                snapshot=True,
                clip=Clip(state="recording") if index == 0 else Clip(state="done", seconds=31, bytes=4_100_000),
                analysis=Analysis(
                    state=AnalysisState.DONE if words else AnalysisState.PENDING,
                    description=words,
                    confidence=0.86 if words else None,
                    backend="qwen2-vl-2b",
                    seconds=2.4 if words else None,
                ),
                facts=[Fact(label="person", score=0.88, box=(0.4, 0.3, 0.5, 0.9))] if kind == "person" else [],
                actions=[
                    ActionResult(step="notify", state="done", detail="night-shift", seconds=0.2, at=started),
                    ActionResult(
                        step="call webhook", state="failed", detail="the door answers 503", seconds=1.1, at=started
                    ),
                ],
                response_time=3.9,
                protected=index == 3,
                acknowledged=noon if done else None,
                acknowledged_by="ana" if done else "",
                note="the usual delivery" if index == 5 else "",
            )
        )
    return EventList(EventQuery(), out, False)


def statistics() -> Statistics:
    """A month of three cameras."""
    today = date(2026, 1, 31)
    days = [
        DayStatistics(
            date=today - timedelta(days=29 - number),
            camera=camera,
            events=(count := (number * step + 3) % 17 + step),
            acknowledged=count if number < 27 else count // 3,
            by_type={"person": count // 2, "vehicle": count // 3, "anomaly": count - count // 2 - count // 3},
            by_priority={"normal": count - count // 5, "high": count // 5},
            by_hour=[count if hour == (number + step) % 24 else 0 for hour in range(24)],
            highest_score=0.6 + step / 40,
            mean_response=2.0 + step / 10,
        )
        for number in range(30)
        for camera, step in (("gate-1", 7), ("hall", 5), ("dock", 2))
    ]
    return Statistics(zone="Europe/Berlin", days=days)


def service() -> ServiceView:
    """Two rules, three users."""
    noon = datetime.fromtimestamp(NOON, timezone.utc)
    mail = Channel(kind=ChannelKind.EMAIL, to="night-shift@example.org")
    hook = Channel(kind=ChannelKind.WEBHOOK, to="https://door.example.org/hook", secret_variable="DOOR_KEY")
    every: dict[str, Any] = {"cameras": (), "types": (), "within": 15}
    rules = [
        Rule(
            name="night-shift",
            enabled=True,
            priority=Priority.HIGH,
            schedule=(Window(days=(0, 1, 2, 3, 4), start=time(18), end=time(6)), Window(days=(5, 6))),
            channels=(mail, hook),
            **every,
        ),
        Rule(name="everything", enabled=False, priority=Priority.LOW, schedule=(), channels=(mail,), **every),
    ]
    users = [
        User(name="ana", role=Role.ADMIN, created=noon, last_login=noon),
        User(name="ben", role=Role.OPERATOR, created=noon, cameras=["gate-1", "gate-2"]),
        User(name="wall", role=Role.VIEWER, created=noon, active=False),
    ]
    delivery = Delivery(
        id="1", rule="night-shift", kind=ChannelKind.EMAIL, to=mail.to, state="sent", created=noon, sent=noon, count=3
    )
    waits = delivery.model_copy(
        update={
            "id": "2",
            "state": "waiting",
            "to": hook.to,
            "sent": None,
            "why": "door.example.org: connection refused",
        }
    )
    return ServiceView(rules, users, [waits, delivery], "ana")


def picture(width: int) -> bytes:
    """A street at dusk as PPM: sky, houses, the road, somebody on it."""
    height = round(width * 9 / 16)
    rows = []
    for y in range(height):
        v = y / height
        row = bytearray()
        for x in range(width):
            u = x / width
            if v < 0.45 - 0.18 * (int(u * 9) % 3 == 1) - 0.08 * (int(u * 9) % 2):
                colour = (70 + int(90 * v), 90 + int(110 * v), 130 + int(120 * v))
            elif v < 0.56:
                bright = int(u * 54) % 3 == 1 and int(v * 40) % 2 == 0
                colour = (232, 196, 120) if bright else (62 + int(u * 9) * 7, 58 + int(u * 9) * 4, 66)
            elif abs(u - 0.5) < (v - 0.5) * 1.1:
                line = abs(u - 0.5) < 0.012 * v and int(v * 30) % 2 == 0
                colour = (210, 210, 190) if line else (54 + int(40 * v), 56 + int(40 * v), 62 + int(40 * v))
            else:
                colour = (66, 92 + int(30 * v), 60)
            if abs(u - 0.62) < 0.018 and 0.52 < v < 0.8:
                colour = (190, 60, 50) if v > 0.585 else (224, 182, 150)
            row += bytes(colour)
        rows.append(bytes(row))
    return b"P6 %d %d 255\n" % (width, height) + b"".join(rows)


class Afternoon(datetime):
    """The last day of the sample's statistics."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Afternoon:
        """That day."""
        return cls(2026, 1, 31, 15, tzinfo=tz)


class SampleService:
    """Stands in for the client of the service: pictures, and settings for the form."""

    def thumbnail(self, _camera: str, width: int) -> bytes:
        """The street."""
        return picture(width)

    def event_thumbnail(self, _event: str, width: int) -> bytes:
        """The same street."""
        return picture(width)

    def camera_settings(self, camera: str) -> CameraRequest:
        """One with a zone and a schedule."""
        return CameraRequest(
            id=camera,
            source="rtsp://10.0.0.20/stream",
            detection=Detection(detector="memory", threshold=0.5),
            zones=(Zone(name="gate", polygon=((0, 0.5), (0.6, 0.5), (0.6, 1), (0, 1))),),
            schedule=(Window(days=(0, 1, 2, 3, 4), start=time(18), end=time(6)), Window(days=(5, 6))),
        )

    def learn(self, camera: str, minutes: float) -> None:
        """Nobody asks it to."""

    def suspend(self, camera: str, minutes: float) -> None:
        """Nobody asks it to."""

    def test_camera(self, request: CameraRequest) -> ConnectionTest:
        """It works."""
        return ConnectionTest(ok=True, width=1920, height=1080, codec="h264", fps=25.0, seconds=0.8)

    def events(self, _query: EventQuery) -> EventPage:
        """The sample store knows them."""
        return EventPage(events=events().events)

    def statistics(self, _query: StatisticsQuery) -> Statistics:
        """The sample store knows them."""
        return statistics()


def operation(
    identifier: int, kind: str, subject: str, state: OperationState, seconds: float, **more: Any
) -> Operation:
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
    reason = OperationFailure(
        what="build of dubbing-cuda13.0", why="stage tts-cosyvoice: no space left on device", remedy="free 12 GiB"
    )
    return [
        operation(14, "sync", "ubuntu22.04-cuda12.6", OperationState.RUNNING, 187),
        operation(13, "build", "dubbing-cuda13.0", OperationState.FAILED, 412, failure=reason),
        operation(12, "build", "cpu-debian12", OperationState.DONE, 96, result={"image": "xaiva/cpu-debian12:latest"}),
        operation(11, "verify", "cpu-debian12", OperationState.DONE, 3),
        operation(10, "sync", "cpu-debian12", OperationState.DONE, 41),
        operation(9, "lock", "cpu-debian12", OperationState.DONE, 12),
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
        LockedFile(path=f"layers/common/wheels/{name}.whl", size=size, sha256=wheel, kind=FileKind.WHEEL, url="")
        for name, size in sizes.items()
    ]
    files.append(LockedFile(path="images/base/blob", size=28 * MIB, sha256=wheel, kind=FileKind.IMAGE, url=""))
    layer = LockedLayer(
        name="common", requirements="layers/common/requirements.txt", wheels=[file.path for file in files[:4]]
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
    presets_by_name: dict[str, tuple[Preset, list[Finding]]] = {
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
            PresetEntry(name, Path(f"presets/{name}.json"), preset_model),
            findings,
            lock(name) if name in ("cpu-debian12", "ubuntu22.04-cuda12.6") else None,
            False,
            target,
        )
        for name, (preset_model, findings) in presets_by_name.items()
    ]
    reason = "line 4, pytorch.version: 'two' is not a version"
    broken = InputError("presets/old-site.json", reason, 'write "2.1.0" or "2.1.0+cu118"')
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
        outcome=BuildOutcome.DONE,
        manifest_digest="sha256:" + "9c" * 32,
        stages=[stage("base", 1.2, True), stage("python", 8.4, True), stage("common", 61.3), stage("service", 22.0)],
    )
    failed = done.model_copy(
        update={
            "id": "20260131T135000Z-77aa01",
            "preset": "dubbing-cuda13.0",
            "started": NOON + 6600,
            "ended": NOON + 7012,
            "outcome": BuildOutcome.FAILED,
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
[service] Successfully installed xaiva-inference-0.1.0
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


def previews() -> dict[str, Preview]:
    """What long work would do, whichever preset it is asked for."""
    known = next(view for view in presets() if view.entry.name == "ubuntu22.04-cuda12.6")
    assert known.entry.preset is not None
    assert known.lock is not None
    preset_, lock_ = known.entry.preset, known.lock
    return {
        "lock": lambda _site, _name, options: partial(
            preview_format.lock_preview, preset_, lock_, "upgrade" in options
        ),
        "sync": lambda *_: partial(preview_format.sync_preview, plan()),
        "verify": lambda *_: partial(preview_format.verify_preview, lock_),
        "build": lambda *_: partial(preview_format.build_preview, stage_names(preset_, lock_)),
    }


class SampleLog:
    """Stands in for `tui.container_log.ContainerLog`."""

    ended = False

    def __init__(self, _site: Site, name: str) -> None:
        self.lines = LineSpool(1 << 20)
        warning = "12:41:07 WARNING camera yard: no frame for 10 s, trying again in 4 s"
        self.lines.add(
            [f"12:00:0{index} INFO {name}: camera {camera} is live" for index, camera in enumerate(("gate-1", "hall"))]
        )
        self.lines.add([warning])

    def close(self) -> None:
        """Nothing is read."""


class SampleStore(Store):
    """A store whose sources have one answer each, whatever they are pointed at."""

    def retarget(self, name: str, fetch: Callable[[], Any]) -> None:
        """The answer is known already."""


class SampleSources:
    """Stands in for `tui.sources.Sources`."""

    def __init__(self, _site: Site) -> None:
        pass

    def fetchers(self) -> dict[str, tuple[Callable[[], Any], float]]:
        """Every source answers at once, and the same for ever."""
        names = (gpus, host, containers, cameras, operations, presets, builds, events, statistics, service)
        sources = {make.__name__: (_constant(make()), 3600.0) for make in names}
        details = {"operation": stages(), "plan": plan(), "build": None, "container": None, "login": LoginIdentity()}
        return {**sources, **{name: (_constant(value), 3600.0) for name, value in details.items()}}

    def close(self) -> None:
        """Nothing was started."""


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value
