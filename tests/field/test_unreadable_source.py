"""The kind: a file or folder that cannot be read is treated as an empty or a missing one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.artifacts import lock, lock_store, source_snapshots
from core.errors import XaivaError
from core.presets import store as store_of_presets
from core.presets.compat.facts import load_facts
from core.site import Site
from tests.support.artifacts import RecordingProgress
from tests.support.two_indexes import NAME


def _list_presets(site: Site) -> object:
    return store_of_presets.list_presets(site)


def _open(site: Site) -> object:
    return Site.open(site.root, {})


def _lock_without_index(site: Site) -> object:
    (site.presets / f"{NAME}.json").write_text('{"base_image": "debian:12", "python_version": "3.11"}')
    env = {**site.env, "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    return lock.run(Site(site.root, site.settings, env), NAME, {}, RecordingProgress())


def _find_lock(site: Site) -> object:
    return lock_store.find_lock(site, NAME)


def _facts(site: Site) -> object:
    if problems := load_facts(site.docker / "compat").problems:
        raise XaivaError(str(problems[0].path), problems[0].what, problems[0].remedy)
    return None


# kind, place in the site, what reads it
PLACES = [
    ("presets", "presets", _list_presets),
    ("env", ".env", _open),
    ("settings", "site.toml", _open),
    ("local-wheels", f"artifacts/{NAME}/{lock_store.LOCAL_WHEELS}", _lock_without_index),
    ("lock", f"artifacts/{NAME}/{lock_store.LOCK_NAME}", _find_lock),
    ("tables", "docker/compat", _facts),
]


@pytest.mark.parametrize("how", ["dangling", "another-kind"])
@pytest.mark.parametrize(("path", "ask"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES])
def test_what_is_there_and_cannot_be_read_is_not_empty(
    site: Site, path: str, ask: Callable[[Site], object], how: str
) -> None:
    place = site.root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        place.rmdir()
    if how == "dangling":  # a medium that is not mounted
        place.symlink_to(site.root / "gone")
    elif place.suffix or place.name == ".env":  # what an engine makes of a file that was not there when it was mounted
        place.mkdir()
    else:
        place.write_text("")
    with pytest.raises(XaivaError) as caught:
        ask(site)
    assert str(place) in caught.value.what


def test_a_folder_that_cannot_be_read_is_not_left_out_of_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree/closed").mkdir(parents=True)
    real = os.scandir

    def refusing_scandir(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing_scandir)  # root may read every folder
    with pytest.raises(XaivaError, match="Permission denied"):
        source_snapshots.snapshot(tmp_path / "tree", tmp_path / "out.tar", "x", RecordingProgress())
