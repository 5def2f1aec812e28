"""Free space before a build, a load and `up`, on the disk of a real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.artifacts.lock_store import write_lock
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage
from core.disk_space import check_space, free_bytes
from core.errors import XaivaError
from core.images.engine_space import check_build_space, check_engine_space
from core.presets.store import preset_sha256
from core.site import Site
from core.up.plan import UpRequest, plan_up
from tests.images.support import preset_of
from tests.support.engine import TestEngine

pytestmark = pytest.mark.engine

PETABYTE = 1 << 50


def lock_of(size: int, kind: FileKind = FileKind.WHEEL, preset_hash: str = "0" * 64) -> Lock:
    """A lock with one file of that size."""
    base = LockedImage(reference="debian:x", tag="xaiva-base/debian:0123456789ab", config_digest="sha256:01")
    file = LockedFile(path="layers/a/wheels/a.whl", size=size, sha256="a" * 64, kind=kind, url="file:a")
    return Lock(preset="a", preset_sha256=preset_hash, python_version="3.11", base_image=base, files=[file])


def test_a_build_that_cannot_fit_is_refused_with_numbers(engine_site: Site, engine: TestEngine) -> None:
    for kind in (FileKind.IMAGE, FileKind.WHEEL):
        with pytest.raises(XaivaError, match="Not enough space for the image of a") as caught:
            check_build_space(engine_site, lock_of(PETABYTE, kind), "runtime")
        assert f"{PETABYTE / 1e6:.0f} MB are needed" in caught.value.why
        assert f"on the disk of {engine.folder}/data" in caught.value.why
        assert "xaiva clean --plan" in caught.value.remedy


def test_a_stage_without_the_wheels_needs_only_its_base_image(engine_site: Site) -> None:
    (finding,) = check_build_space(engine_site, lock_of(PETABYTE), "base")
    assert finding.code == "build-disk"


def test_a_build_that_may_not_fit_is_a_warning(engine_site: Site, engine: TestEngine) -> None:
    size = free_bytes(engine.folder) // 2
    (finding,) = check_build_space(engine_site, lock_of(size), "runtime")
    assert "are free for the engine" in finding.what
    assert check_build_space(engine_site, lock_of(1000), "runtime") == []


def test_what_the_engine_can_reuse_is_not_needed_again(engine_site: Site, engine: TestEngine) -> None:
    free, layers = free_bytes(engine.folder), len(engine.docker("images", "-q"))
    assert layers
    check_engine_space(engine_site, free + (20 << 20), "a base image of which 180 MB are there")
    with pytest.raises(XaivaError):
        check_engine_space(engine_site, free + (50 << 30), "an image")


def test_up_says_so_before_it_starts(engine_site: Site) -> None:
    preset = preset_of()
    text = preset.model_dump_json(exclude_defaults=True, by_alias=True)
    (engine_site.presets / "a.json").write_text(text)
    write_lock(engine_site, "a", lock_of(PETABYTE, FileKind.MODEL, preset_sha256(preset)))
    (build,) = [step for step in plan_up(UpRequest(engine_site, "a")).steps if step.name == "build"]
    assert "Not enough space for the image of a" in build.findings[0].what


def test_needs_on_one_disk_add_up(tmp_path: Path) -> None:
    part = free_bytes(tmp_path) * 2 // 3
    check_space({tmp_path / "a" / "new": part, tmp_path / "b": 0}, "a copy")
    with pytest.raises(XaivaError, match="Not enough space for two copies"):
        check_space({tmp_path / "a" / "new": part, tmp_path / "b": part}, "two copies")
