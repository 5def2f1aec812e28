"""The system packages that a preset's artifacts carry are installed on a machine without a network, by real apt."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.carry.console_files import STICK
from tests.support import require
from tests.support.engine import base_tar

ARTIFACTS = "home/anna/my site/artifacts/engine"


def _deb(folder: Path, name: str, version: str, depends: str = "") -> None:
    """A package with one file, `/opt/NAME`, that holds its version."""
    root = folder / f"{name}-{version}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "opt").mkdir()
    (root / "opt" / name).write_text(version)
    fields = {
        "Package": name,
        "Version": version,
        "Architecture": "all",
        "Maintainer": "x <x@localhost>",
        "Description": "x",
    }
    fields |= {"Depends": depends} if depends else {}
    (root / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    subprocess.run(["dpkg-deb", "--build", root, folder / f"{name}_{version}_all.deb"], check=True, capture_output=True)
    shutil.rmtree(root)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Path]:
    """A Debian, as a folder to chroot into, with a newer `library` than that of the artifacts."""
    require(shutil.which("dpkg-scanpackages"), "dpkg-dev")
    root = tmp_path / "machine"
    root.mkdir()
    subprocess.run(["tar", "-xf", base_tar(), "-C", root], check=True)
    debs = root / ARTIFACTS / "debs"
    debs.mkdir(parents=True)
    _deb(debs, "library", "1.0")
    _deb(debs, "engine", "2.0", depends="library (>= 1.0), runtime")
    _deb(debs, "runtime", "3.0")
    packages = subprocess.run(["dpkg-scanpackages", "."], cwd=debs, capture_output=True, check=True).stdout
    (debs / "Packages").write_bytes(packages)
    _deb(root, "library", "1.5")
    subprocess.run(
        ["dpkg", f"--root={root}", "--install", root / "library_1.5_all.deb"], check=True, capture_output=True
    )
    shutil.copy(STICK / "install_debs.sh", root)
    yield root
    shutil.rmtree(root)


def _install(machine: Path, *words: str, answer: str = "y\n") -> subprocess.CompletedProcess[str]:
    command = ["unshare", "--net", "chroot", machine, "sh", "/install_debs.sh", *words]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, input=answer, env=env, capture_output=True, text=True, check=False)


def test_packages_are_installed_when_right_and_confirmed_and_newer_ones_stay(machine: Path) -> None:
    sources = machine / "etc/apt/sources.list.d/debian.sources"
    before = sources.read_bytes()
    done = _install(machine, "/home", "engine")
    assert done.returncode == 1
    assert "it has no debs/Packages" in done.stderr
    assert _install(machine, f"/{ARTIFACTS}", "engine", answer="n\n").returncode != 0
    assert not (machine / "opt/engine").exists()

    deb = machine / ARTIFACTS / "debs/runtime_3.0_all.deb"
    right = deb.read_bytes()
    deb.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    done = _install(machine, f"/{ARTIFACTS}", "engine")
    assert done.returncode != 0
    assert "Hash Sum mismatch" in done.stdout + done.stderr
    assert not (machine / "opt/engine").exists()

    deb.write_bytes(right)
    done = _install(machine, f"/{ARTIFACTS}", "engine")
    assert done.returncode == 0, done.stderr
    texts = {name: (machine / "opt" / name).read_text() for name in ("engine", "runtime", "library")}
    assert texts == {"engine": "2.0", "runtime": "3.0", "library": "1.5"}
    assert sources.read_bytes() == before
    assert [path.name for path in (machine / "var/lib/apt/lists").iterdir()] == ["partial"]
