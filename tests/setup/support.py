"""An office: a copy of xaiva whose launcher and pip are real, and whose wheels are small and lie in a folder."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.support.artifacts import wheel_file

ROOT = Path(__file__).parent.parent.parent
PYTHONS = ("310", "311", "312", "313", "314")
OWN = f"{sys.version_info.major}{sys.version_info.minor}"
MACHINE = platform.machine()
OF_THE_DEMO = "camera-1.0-py3-none-any.whl"
PYTHON = sys.executable if sys.prefix == sys.base_prefix else f"{sysconfig.get_config_var('BINDIR')}/python3"


def compiled(python: str, machine: str = MACHINE) -> str:
    return f"fast-1.0-cp{python}-cp{python}-manylinux_2_17_{machine}.manylinux2014_{machine}.whl"


def make_office(folder: Path) -> Path:
    """A copy of xaiva that is installed with the tests' pip. Its requirements are in `index/` next to it."""
    index = folder.parent / "index"
    (folder / "requirements").mkdir(parents=True)
    (folder / ".venv/bin").mkdir(parents=True)
    shutil.copy(ROOT / "xaiva", folder)
    shutil.copy(ROOT / "requirements/pip_progress.py", folder / "requirements")
    (folder / "pyproject.toml").touch()
    wheels = {
        "fast==1.0": [compiled(python) for python in PYTHONS],
        "tool==1.0 ; python_full_version < '3.11'": ["tool-1.0-py3-none-any.whl"],
        "tool==2.0 ; python_full_version >= '3.11'": ["tool-2.0-py3-none-any.whl"],
        "other==1.0 ; sys_platform == 'win32'": [],
    }
    blocks = [_pinned(requirement, index, files) for requirement, files in wheels.items()]
    (folder / "requirements/console.txt").write_text("".join(blocks))
    blocks.append(_pinned("camera==1.0", index, [OF_THE_DEMO]))
    (folder / "requirements/demo.txt").write_text("".join(blocks))
    _set_up(folder)
    return folder


def _pinned(requirement: str, index: Path, files: list[str]) -> str:
    """The requirement with the hashes of its wheels, which are created."""
    for name in files:
        wheel_file(index / name, *name.split("-")[:2])
    hashes = [hashlib.sha256((index / name).read_bytes()).hexdigest() for name in files] or ["0" * 64]
    return " \\\n    ".join([requirement, *(f"--hash=sha256:{value}" for value in hashes)]) + "\n"


def _set_up(folder: Path) -> None:
    """The state that the launcher leaves after an installation."""
    python = folder / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (folder / ".venv/bin/xaiva").write_text("#!/bin/sh\necho started\n")
    (folder / ".venv/bin/xaiva").chmod(0o755)
    requirements = b"".join(path.read_bytes() for path in sorted((folder / "requirements").glob("*.txt")))
    requirements += f"console {folder}\n".encode()
    checksum = subprocess.run(["cksum"], input=requirements, capture_output=True, check=True).stdout.decode().strip()
    (folder / ".venv/.xaiva-installed").write_text(f"console {checksum}")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """An environment with the index as pip's only one, and with `more`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "XAIVA_"))}
    env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder.parent / "index")}
    return env | {"UV": "none"} | more  # pip installs, whatever the machine has


def start(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """Start the launcher; `more` is more environment."""
    env = environment(folder, **more)
    default = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # signals ignored by a background job stay ignored
    try:
        return subprocess.Popen(
            [folder / "xaiva", *arguments], env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    finally:
        signal.signal(signal.SIGINT, default)


def run(folder: Path, *arguments: str, **more: str) -> tuple[int, str]:
    """The launcher's exit status and what it said."""
    process = start(folder, *arguments, **more)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def names(folder: Path) -> set[str]:
    """The files in the folder."""
    return {path.name for path in folder.iterdir()}
