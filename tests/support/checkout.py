"""A copy of the project as a user gets it, and a USB stick to carry it on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import require
from tests.support.cache import cached

ROOT = Path(__file__).parent.parent.parent
STICK_SIZE = "4G"  # of a sparse file


def checkout(folder: Path) -> Path:
    """The files of this project under version control, without its tests."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith(("tests/", ".")) and (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return folder


def fetch_wheels(folder: Path) -> None:
    """The console's wheels for this Python, from an earlier run or by the machine's own client."""
    requirements = ROOT / "requirements/console.txt"
    key = f"{sys.version_info[:2]} {requirements.read_text()}"
    shutil.copytree(cached("wheels", key, _download_wheels), folder, dirs_exist_ok=True)


def _download_wheels(folder: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"),
            *("--require-hashes", "-r", str(ROOT / "requirements/console.txt"), "-d", str(folder)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    require(done.returncode == 0, f"a reachable Python package index:\n{done.stderr}")


@contextmanager
def stick(image: Path, mount: Path) -> Iterator[Path]:
    """An exFAT stick at `mount`: no modes, no links. What was written stays in `image` for the next time."""
    require(shutil.which("mkfs.exfat") and shutil.which("mount.exfat-fuse"), "exfatprogs and exfat-fuse")
    mount.mkdir(parents=True, exist_ok=True)
    if not image.exists():
        subprocess.run(["truncate", "--size", STICK_SIZE, image], check=True)
        subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
    losetup = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    require(losetup.returncode == 0, f"a loop device: {losetup.stderr}")
    device = losetup.stdout.strip()
    try:
        mounted = subprocess.run(["mount.exfat-fuse", device, mount], capture_output=True, text=True, check=False)
        require(mounted.returncode == 0, f"the right to mount over FUSE: {mounted.stderr}")
        try:
            yield mount
        finally:
            subprocess.run(["umount", mount], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
