"""An image without Python: a base image and system packages, for what is no Python service."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.artifacts.lockfile import FileKind
from core.errors import ChecksFailed
from core.images import build
from core.presets.model import Preset
from tests.images import support
from tests.images.conftest import new_site
from tests.support.engine import BASE_IMAGE, TestEngine

pytestmark = pytest.mark.engine

NAME = "hello"


def artifacts(site_folder: Path, engine: TestEngine, offline_engine: TestEngine) -> support.Artifacts:
    """The artifacts of a preset with the package `hello` and no Python."""
    site = new_site(site_folder, offline_engine)
    fields = {"base_image": BASE_IMAGE, "inference_service": False, "debs": ["hello"]}
    preset = Preset.model_validate(fields)
    result = support.Artifacts(site, NAME, preset)
    result.add_debs(support.debs(engine, ["hello"], ["hello"]), build=False)
    result.add_base(engine)
    return result


def test_it_has_the_locked_packages_and_no_environment(
    engine: TestEngine, offline_engine: TestEngine, tmp_path: Path
) -> None:
    made = artifacts(tmp_path / "site", engine, offline_engine)
    made.write()
    outcome = build.run(made.site, NAME, {}, support.Recorder())
    assert outcome["findings"] == []
    words = ("run", "--rm", "--network", "none", f"xaiva/{NAME}:latest", "sh", "-c", "hello; ls /opt")
    assert offline_engine.docker(*words) == "Hello, world!\n"


def test_a_package_in_another_version_than_locked_fails_the_smoke_test(
    engine: TestEngine, offline_engine: TestEngine, tmp_path: Path
) -> None:
    made = artifacts(tmp_path / "site", engine, offline_engine)
    made.files = [
        file.model_copy(update={"version": "1-wrong"}) if file.kind is FileKind.DEB else file for file in made.files
    ]
    made.write()
    with pytest.raises(ChecksFailed, match=r"hello is 2\.10.* in the image"):
        build.run(made.site, NAME, {}, support.Recorder())
