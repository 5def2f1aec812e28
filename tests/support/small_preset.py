"""A small preset, and how to lock it."""

from __future__ import annotations

import json

from core.artifacts import lock, lock_store
from core.site import Site
from tests.support.artifacts import RecordingProgress
from tests.support.engine import BASE_IMAGE

NAME = "small"
PRESET = {
    "base_image": BASE_IMAGE,
    "python_version": "3.11",
    "layers": [
        {"name": "common", "requirements": ["requests>=2.31", "idna"]},
        {"name": "extra", "requirements": ["httpx", "numpy"]},
    ],
    "pins": ["numpy>=1.26.4,<2"],
    "inference_service": False,
}
OFFLINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


def write_preset(site: Site, **changes: object) -> None:
    (site.presets / f"{NAME}.json").write_text(json.dumps({**PRESET, **changes}))


def run_lock(site: Site, progress: RecordingProgress | None = None, **options: bool) -> dict[str, object]:
    return dict(lock.run(site, NAME, options, progress or RecordingProgress()))


def without_engine(site: Site) -> Site:
    return Site(site.root, site.settings, {**site.env, **OFFLINE})


def lock_bytes(site: Site) -> bytes:
    return (lock_store.artifacts_folder(site, NAME) / lock_store.LOCK_NAME).read_bytes()
