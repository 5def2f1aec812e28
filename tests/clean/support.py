"""Sites with things that can go."""

from __future__ import annotations

import io
import os
import tarfile
import time
from pathlib import Path

from core import labels
from core.artifacts.lock_store import write_lock
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage
from core.clean.model import Category, CleanPlan
from core.images.build_history import BuildOutcome, BuildRecord, builds_folder, save_record
from core.operations.ledger import Ledger
from core.presets.store import STARTER
from core.site import Site
from core.site_operations import site_ledger
from tests.support.engine import TestEngine

BASE = LockedImage(reference="debian:x", tag="xaiva-base/debian:0123456789ab", config_digest="sha256:01")
WAIT = f"{__name__}:wait"


def add_preset(site: Site, name: str) -> None:
    """A preset's file."""
    (site.presets / f"{name}.json").write_text(STARTER)


def add_artifacts(site: Site, name: str, base: LockedImage = BASE) -> Path:
    """A locked file of 100 kB, and its lock; returns the folder."""
    folder = site.artifacts / name
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "m").write_bytes(b"m" * 100_000)
    file = LockedFile(path="models/m", size=100_000, sha256="a" * 64, kind=FileKind.MODEL, url="file:m")
    lock = Lock(preset=name, preset_sha256="0" * 64, python_version="3.11", base_image=base, files=[file])
    write_lock(site, name, lock)
    return folder


def add_build(site: Site, number: int, preset: str, outcome: BuildOutcome) -> str:
    """A build's record; higher numbers are later. Returns its id."""
    identity = f"20260101T0000{number:02}Z-aaaaaa"
    (builds_folder(site) / identity).mkdir(parents=True)
    (builds_folder(site) / identity / "log.txt").write_text("x" * 5000)
    save_record(site, BuildRecord(id=identity, preset=preset, started=1000.0 + number, outcome=outcome))
    return identity


def add_image(engine: TestEngine, preset: str, build: str, tag: str = "latest") -> str:
    """A new image of a preset, which gets its tag as a build gives it; returns its id."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("content")
        entry.size = 50_000
        tar.addfile(entry, io.BytesIO(build.encode().ljust(50_000)))
    changes = [f"LABEL {labels.PRESET}={preset}", f"LABEL {labels.BUILD_ID}={build}", f"LABEL {labels.TARGET}=runtime"]
    words = [word for change in (*changes, 'CMD ["/content"]') for word in ("--change", change)]
    candidate = f"xaiva/{preset}:candidate"
    identity = engine.docker("import", *words, "-", candidate, input=buffer.getvalue()).strip()
    if tag != "candidate":
        engine.docker("tag", candidate, f"xaiva/{preset}:{tag}")
        engine.docker("rmi", "--no-prune", candidate)
    return identity


def make_old(path: Path, days: float) -> Path:
    """Give a file an age."""
    moment = time.time() - days * 86400
    os.utime(path, (moment, moment), follow_symlinks=False)
    return path


def ids(plan: CleanPlan, category: Category) -> set[str]:
    """What can go in a category, without its prefix."""
    return {item.id.partition(":")[2] for item in plan.items if item.category is category}


def waiting_ledger(site: Site) -> Ledger:
    """A ledger whose operations of the kind `wait` run until they are cancelled."""
    return site_ledger(site, {"wait": WAIT})


def wait(_site: Site, _subject: str, _options: object, progress: object) -> dict[str, object]:
    """The work of such an operation."""
    while not progress.cancelled():  # type: ignore[attr-defined]
        time.sleep(0.02)
    return {}
