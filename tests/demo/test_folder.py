"""The folder of a demo is private, stays while a process holds it, and is removed afterwards."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from core.demo.folder import PREFIX, create_folder, remove_leftovers
from core.service_client.address import named_or_default_address
from core.site import Site


@pytest.fixture(autouse=True)
def _temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_folder_that_is_held_stays_and_one_that_was_left_is_removed(tmp_path: Path) -> None:
    living, left = create_folder(), create_folder()
    assert living.path.stat().st_mode & 0o777 == 0o700
    (left.path / "data").mkdir()
    (left.path / "data" / "clip.mp4").write_bytes(b"x")
    inherited = os.dup(living.lock)  # as a child's
    os.close(living.lock)
    os.close(left.lock)
    assert remove_leftovers() == [left.path]
    assert list(tmp_path.iterdir()) == [living.path]
    os.close(inherited)
    assert remove_leftovers() == [living.path]


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(other)
    (tmp_path / f"{PREFIX}file").write_text("x")
    before = set(tmp_path.iterdir())
    assert remove_leftovers() == []
    assert set(tmp_path.iterdir()) == before


def test_a_service_of_a_demo_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('demo = true\n[service]\nurl = "http://127.0.0.1:9"\n')
    assert "xaiva demo" in named_or_default_address(Site.open(tmp_path, {})).remedy
