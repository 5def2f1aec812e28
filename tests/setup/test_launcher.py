"""`./xaiva`: sets up from a wheelhouse with hashes checked, only when something changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import require
from tests.support.checkout import checkout, fetch_wheels, stick


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher in a network namespace without a route."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "XAIVA_"))}
    env["PIP_CONFIG_FILE"] = os.devnull
    return subprocess.run(
        ["unshare", "--net", str(folder / "xaiva"), *arguments], env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.index
def test_sets_up_offline_from_unchanged_wheels_alone_and_only_once(tmp_path: Path) -> None:
    require(os.geteuid() == 0, "root, for a network namespace")
    folder = checkout(tmp_path / "stick with a space")
    fetch_wheels(folder / "wheelhouse")

    victim = next((folder / "wheelhouse").glob("click-*.whl"))
    wheel = victim.read_bytes()
    victim.write_bytes(wheel + b"x")
    refused = _run(folder, "--help")
    assert refused.returncode == 1
    assert "has a changed one" in refused.stderr
    assert refused.stdout == ""

    victim.write_bytes(wheel)
    first = _run(folder, "--help")
    assert first.returncode == 0, first.stderr
    assert "Usage" in first.stdout
    assert "setting up" in first.stderr

    second = _run(folder, "--help")
    assert second.returncode == 0
    assert second.stderr == ""

    for link in (folder / ".venv/bin").glob("python*"):  # as after an upgrade of the system's Python
        link.unlink()
        link.symlink_to("/nowhere/python3")
    third = _run(folder, "--help")
    assert third.returncode == 0, third.stderr
    assert "setting up" in third.stderr


def test_a_stick_without_links_is_named_as_such(tmp_path: Path) -> None:
    with stick(tmp_path / "stick.img", tmp_path / "stick") as mount:
        folder = checkout(mount / "xaiva")
        (folder / "wheelhouse").mkdir()
        done = _run(folder, "--setup")
    assert done.returncode == 1
    assert "is on a file system without links" in done.stderr
    assert "setting up" not in done.stderr


def test_says_what_to_do_without_python(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "stick")
    empty = tmp_path / "bin"
    empty.mkdir()
    for tool in ("dirname", "cat", "cksum", "grep"):
        (empty / tool).symlink_to(shutil.which(tool) or "")
    done = subprocess.run(
        ["/bin/sh", str(folder / "xaiva")], env={"PATH": str(empty)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no Python 3.10" in done.stderr
