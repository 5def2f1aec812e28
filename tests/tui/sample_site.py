"""The sample's presets, locks, operations and builds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage, LockedLayer
from core.artifacts.sync_plan import SyncPlan
from core.errors import InputError
from core.findings import Finding, Level
from core.first_steps.facts import Answer, ImageFacts, LockFacts, PresetFacts
from core.images.build_history import BuildOutcome, BuildRecord, StageRecord, StepRecord, log_path
from core.images.render import stage_names
from core.operations.model import Operation, OperationFailure, OperationState
from core.presets.compat import GpuModel as KnownGpu
from core.presets.compat import TargetMachine
from core.presets.model import Preset
from core.presets.store import PresetEntry
from core.progress import Stage, StageState
from core.site import Site
from core.site_settings import Setting, SettingsFile, SettingSource, Variable, read_settings
from core.up.plan import UpPlan, UpStep
from tests.tui.sample_carry import SHIPMENT, STICK
from tests.tui.sample_machine import GIB, MIB, NOON
from tui.formatters import previews as preview_format
from tui.screens.start_operation import Preview
from tui.sources import PresetView

GTX_1060 = KnownGpu("GTX 1060", "6.1", 6.0)


def operation(
    identifier: int, kind: str, subject: str, state: OperationState, seconds: float, **more: Any
) -> Operation:
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
        operation(
            8,
            "pack",
            STICK,
            OperationState.DONE,
            1204,
            key=f"medium:{STICK}",
            started=NOON - 9000,
            ended=NOON - 7796,
            result={"shipment": SHIPMENT, "safe_to_remove": True, "files": 412},
        ),
    ]


def stages() -> list[Stage]:
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


def preset_facts() -> PresetFacts:
    """A preset whose files are being fetched."""
    files = LockFacts(sha256="a1" * 32, files=212, missing_files=70, missing_bytes=1_610_000_000)
    return PresetFacts(
        "ubuntu22.04-cuda12.6",
        "you chose it",
        lock=Answer(files),
        image=Answer(ImageFacts()),
        operations=Answer(operations()[:1]),
        progress="Fetch 67 %",
    )


def lock(preset: str) -> Lock:
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


def up_plan() -> UpPlan:
    """What `up` would do with a preset that is locked, and nothing more."""
    name = "ubuntu22.04-cuda12.6"
    steps = [
        UpStep(name="lock", done=True, text="complete: 142 files (5113 MB)"),
        UpStep(name="sync", done=False, text="fetch 21 files (2214 MB) over the network, make 2 files (80 MB) here"),
        UpStep(name="build", done=False, text=f"build xaiva/{name}:latest with the network off: base, python, runtime"),
        UpStep(name="launch", done=False, text=f"start the container xaiva-{name}"),
    ]
    return UpPlan(preset=name, steps=steps)


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
        "up": lambda *_: partial(preview_format.up_preview, up_plan()),
    }


def site_settings() -> SettingsFile:
    """A site with a slow line, an engine of its own, and a mistake in its file."""
    path = Path("/srv/site/site.toml")
    told = {"sync.connections": (4, 6), "engine.host": ("unix:///run/docker-gpu.sock", 10)}
    settings = []
    for setting in read_settings(Path("/nowhere"), {}).settings:
        if setting.key in told:
            value, line = told[setting.key]
            setting = replace(setting, value=value, file_value=value, line=line, source=SettingSource.FILE)
        settings.append(setting)
    problem = {"problem": "there is no such key", "known": False, "line": 7, "file_value": 3}
    settings.append(Setting("sync.retrys", 3, SettingSource.FILE, **problem))  # type: ignore[arg-type]
    variables = [Variable("XAIVA_SERVICE", ""), Variable("XAIVA_SERVICE_TOKEN", ".env")]
    return SettingsFile(path, settings, variables)
