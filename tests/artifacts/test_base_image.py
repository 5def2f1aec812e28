"""Base images as files: exported from a real engine and streamed back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from core.artifacts import base_image
from core.engine import EngineError, connect_engine
from core.files import sha256_file
from core.progress import NullProgress
from core.site import Site
from tests.support.engine import BASE_IMAGE, TestEngine


@pytest.mark.engine
def test_a_base_image_is_saved_as_the_same_files(engine_site: Site, engine: TestEngine, tmp_path: Path) -> None:
    saved = base_image.save_image(connect_engine(engine_site, 120), BASE_IMAGE, tmp_path, NullProgress())
    saved.write_manifests(tmp_path)
    assert saved.image.os_release == "debian 12"
    folder = tmp_path / saved.image.folder
    assert {"manifest.json", "index.json", "oci-layout"} <= {path.name for path in folder.iterdir()}
    assert [file for file in saved.files if sha256_file(file.under(tmp_path)) != file.sha256] == []
    again = base_image.save_image(connect_engine(engine_site, 120), BASE_IMAGE, tmp_path, NullProgress())
    assert again.files == saved.files
    layout = subprocess.run(["tar", "-C", folder, "-c", "."], capture_output=True, check=True).stdout
    assert saved.image.tag in engine.docker("load", input=layout)
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9/none"):
        base_image.save_image(connect_engine(engine_site, 120), "127.0.0.1:9/none:1", tmp_path, NullProgress())


@pytest.mark.engine
def test_another_image_of_that_name_leaves_the_old_one_whole_until_it_is_locked(
    engine_site: Site, engine: TestEngine, tmp_path: Path
) -> None:
    name = "xaiva-test/moving:1"
    client = connect_engine(engine_site, 120)
    before = []
    for text in ("one", "two"):
        engine.docker("build", "-q", "-t", name, "-", input=f"FROM {BASE_IMAGE}\nLABEL is={text}\n".encode())
        saved = base_image.save_image(client, name, tmp_path, NullProgress())
        assert [file for file in before if sha256_file(file.under(tmp_path)) != file.sha256] == []
        saved.write_manifests(tmp_path)
        before = saved.files
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {file.path for file in saved.files}
