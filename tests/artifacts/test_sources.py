"""Sources and models by path and by git, locked as snapshots."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from core.artifacts import lock_store, sync
from core.artifacts.lockfile import FileKind
from core.files import sha256_file
from core.site import Site
from tests.support.artifacts import RecordingProgress, random_file
from tests.support.small_preset import NAME, lock_bytes, run_lock, without_engine, write_preset


@pytest.mark.index
def test_sources_and_models_by_path_are_snapshots(site: Site, tmp_path: Path) -> None:
    tree = tmp_path / "media"
    random_file(tree / "src/main.c", 100)
    random_file(tree / "ignored.o", 100)
    (tree / ".gitignore").write_text("*.o\n")
    subprocess.run(["git", "init", "-q", "-b", "master", str(tree)], check=True)
    model = random_file(site.root / "models/a.onnx", 1000)
    sha256 = sha256_file(model)
    write_preset(
        site,
        layers=[],
        pins=[],
        build_options={"xaiva_media_branch": "master"},
        models=[{"name": "a", "file": "models/a.onnx", "sha256": sha256, "destination": "/models/a.onnx"}],
    )
    with_path = Site(site.root, site.settings, {**without_engine(site).env, "XAIVA_SOURCE_PATH": str(tree)})
    run_lock(with_path)
    first = lock_bytes(site)
    locked = lock_store.read_lock(site, NAME)
    source = next(file for file in locked.files if file.kind is FileKind.SOURCE)
    assert source.url == "file:$XAIVA_SOURCE_PATH"
    with tarfile.open(source.under(lock_store.artifacts_folder(site, NAME))) as tar:
        assert tar.getnames() == ["xaiva-media/.gitignore", "xaiva-media/src/main.c"]
        assert {entry.mtime for entry in tar} == {0}
    os.utime(tree / "src/main.c", (1, 1))
    run_lock(with_path)
    assert lock_bytes(site) == first
    source.under(lock_store.artifacts_folder(site, NAME)).unlink()
    sync.run(with_path, NAME, {}, RecordingProgress())
    (tree / "src/main.c").write_text("changed")
    outcome = run_lock(with_path)
    assert any("source xaiva-media" in line for line in outcome["diff"])  # type: ignore[attr-defined]


@pytest.mark.index
def test_a_git_source_is_kept_at_its_commit(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repo"
    commit(repository, "one")
    address = "https://git.example/tool.git"
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")  # git itself goes to the folder instead
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{repository}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", address)
    source = {"name": "tool", "git": address, "ref": "master"}
    write_preset(site, layers=[], pins=[], sources=[source])
    site = without_engine(site)
    run_lock(site)
    first = next(file for file in lock_store.read_lock(site, NAME).files if file.kind is FileKind.SOURCE)
    commit(repository, "two")
    run_lock(site)
    assert first in lock_store.read_lock(site, NAME).files
    run_lock(site, upgrade=True)
    assert first not in lock_store.read_lock(site, NAME).files


def commit(repository: Path, content: str) -> None:
    repository.mkdir(exist_ok=True)
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", "init", "-q", "-b", "master", str(repository)], check=True)
    (repository / "file").write_text(content)
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", content], check=True)
