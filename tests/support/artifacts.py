"""A site with a lock of files on a loopback index, and a progress that records its calls."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import zipfile
from pathlib import Path

from core.artifacts.generated_files import generated_files
from core.artifacts.lock_store import write_lock
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage, LockedLayer
from core.files import write_atomic
from core.progress import Stage
from core.site import Site, SiteSettings, SyncSettings

SMALL_PRESET = {"base_image": "debian:test", "python_version": "3.11", "inference_service": False}
QUICK = SyncSettings(connections=8, per_host=8, stall_seconds=0.4, retries=3)


class RecordingProgress:
    """A progress that records its calls. Set `stop_at` to cancel once a stage has so many bytes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.stages: dict[str, Stage] = {}
        self.history: list[Stage] = []
        self.stopped = threading.Event()
        self.stop_at = float("inf")

    def stage(self, stage: Stage) -> None:
        self.stages[stage.id] = stage
        self.history.append(stage)
        if stage.unit == "bytes" and stage.done >= self.stop_at:
            self.stopped.set()

    def log(self, line: str, stage: str = "") -> None:
        self.lines.append(line)

    def cancelled(self) -> bool:
        return self.stopped.is_set()

    def text(self) -> str:
        return "\n".join(self.lines)


def with_settings(site: Site, sync: SyncSettings = QUICK, **env: str) -> Site:
    """The site with other sync settings and more environment."""
    return Site(site.root, SiteSettings(sync=sync), {**site.env, **env})


def random_file(path: Path, size: int, seed: int = 0) -> Path:
    """A file of pseudo-random bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))
    return path


def locked(
    path: Path, url: str, kind: FileKind = FileKind.WHEEL, under: str = "layers/common/wheels", **more: str
) -> LockedFile:
    """A locked file with the current content of `path`."""
    content = path.read_bytes()
    return LockedFile(
        path=f"{under}/{path.name}",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        kind=kind,
        url=url,
        name=path.name.split("-")[0],
        version="1.0",
        **more,  # type: ignore[arg-type]
    )


def write_lock_of(site: Site, preset: str, files: list[LockedFile]) -> Lock:
    """A lock of these files, written into the site's artifacts."""
    wheels = [file.path for file in files if file.kind is FileKind.WHEEL]
    lock = Lock(
        preset=preset,
        preset_sha256="0" * 64,
        python_version="3.11",
        base_image=LockedImage(reference="debian:test", tag="xaiva-base/debian:test", config_digest="sha256:0"),
        layers=[LockedLayer(name="common", requirements="layers/common/requirements.txt", wheels=wheels)],
        files=sorted(files, key=lambda file: file.path),
    )
    write_lock(site, preset, lock)
    return lock


def wheel_file(path: Path, name: str, version: str, content: str = "", more: str = "") -> None:
    """A wheel with one module; `more` are further lines of its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def write_preset(site: Site, name: str, count: int = 6, size: int = 50_000) -> None:
    """A preset with its lock and `count` wheels; the same numbers give the same wheels."""
    folder = site.artifacts / name
    wheels = [
        random_file(folder / f"layers/common/wheels/w{number}-1.0-py3-none-any.whl", size + number, number)
        for number in range(count)
    ]
    lock = write_lock_of(site, name, [locked(path, "file:x") for path in wheels])
    for path, data in generated_files(lock).items():
        write_atomic(folder / path, data)
    (site.presets / f"{name}.json").write_text(json.dumps(SMALL_PRESET))
