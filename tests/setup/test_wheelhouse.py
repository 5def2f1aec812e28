"""`./xaiva --wheelhouse` makes, whole or not at all, what the launcher at a site without a network is set up from.

The launcher, pip and the wheels are real; the wheels are small, and lie in a folder instead of an index.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.setup.support import MACHINE, OF_THE_DEMO, OWN, PYTHON, PYTHONS, compiled, names, run, start
from tests.support import require
from tests.support.artifacts import wheel_file

OTHER = "312" if OWN != "312" else "313"


def test_holds_exactly_the_wheels_of_every_python(office: Path) -> None:
    target = office / "of another name"
    code, errors = run(office, "--wheelhouse", f"{target}/")
    assert code == 0, errors
    assert names(target) == names(office.parent / "index") - {OF_THE_DEMO}
    assert f"7 wheels, for Python 3.10 to 3.14 on {MACHINE}" in errors


def _one_is_missing(index: Path) -> None:
    (index / compiled("311")).unlink()


def _one_is_changed(index: Path) -> None:
    wheel_file(index / compiled("311"), "fast", "1.0", content="changed = True")


@pytest.mark.parametrize(
    ("fault", "before"),
    [(_one_is_missing, {"old-1.0-py3-none-any.whl"}), (_one_is_changed, set())],
    ids=["one is missing, again", "one is changed, first"],
)
def test_a_failure_changes_nothing(office: Path, fault: Callable[[Path], None], before: set[str]) -> None:
    for name in before:
        wheel_file(office / "wheelhouse" / name, "old", "1.0")
    there = names(office)
    fault(office.parent / "index")
    code, errors = run(office, "--wheelhouse")
    assert code == 1
    assert "fast" in errors  # pip reports the problem
    assert "the wheelhouse was not made" in errors
    assert names(office) == there
    assert not before or names(office / "wheelhouse") == before


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_an_interrupted_one_leaves_nothing(office: Path, silent_index: socket.socket, kind: signal.Signals) -> None:
    address = f"http://127.0.0.1:{silent_index.getsockname()[1]}/simple"
    process = start(office, "--wheelhouse", PIP_NO_INDEX="0", PIP_INDEX_URL=address)
    connection, _ = silent_index.accept()  # pip waits for an answer
    with connection:
        os.killpg(process.pid, kind)
        process.communicate(timeout=60)
    assert process.returncode
    assert not (office / "wheelhouse").exists()
    if kind == signal.SIGKILL:
        assert run(office, "--wheelhouse")[0] == 0
    assert not [name for name in names(office) if ".part" in name]


@pytest.mark.parametrize("name", ["notes.txt", "folder/notes.whl", ".hidden"])
def test_a_folder_with_other_files_stays(office: Path, name: str) -> None:
    (office / "mine" / name).parent.mkdir(parents=True)
    (office / "mine" / name).write_text("mine")
    code, errors = run(office, "--wheelhouse", str(office / "mine"))
    assert code == 1
    assert "contains other files than wheels" in errors
    assert (office / "mine" / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("wheels", "said"),
    [
        ([compiled(OTHER)], f"is for Python 3.{OTHER[1:]} on {MACHINE}; this machine has Python 3.{OWN[1:]}."),
        ([compiled(OWN, "riscv64")], f"has no wheels for {MACHINE}"),
        ([compiled("38"), compiled("39"), "any-1.0-py3-none-any.whl"], f"is for Python 3.8 3.9 on {MACHINE}"),
        ([compiled(OTHER), compiled(OWN, "riscv64")], f"is for Python 3.{OTHER[1:]} on {MACHINE}"),
    ],
    ids=["another Python", "another machine", "older Pythons", "another of both"],
)
def test_one_for_another_python_is_named_as_such(office: Path, wheels: list[str], said: str) -> None:
    shutil.rmtree(office / ".venv")
    for name in wheels:
        wheel_file(office / "wheelhouse" / name, "fast", "1.0")
    code, errors = run(office, "--help", XAIVA_PYTHON=sys.executable, PATH=_only_tools(office.parent / "bin"))
    assert code == 1
    first, second = errors.splitlines()
    assert said in first
    assert "./xaiva --wheelhouse" in second


def test_a_python_that_the_wheelhouse_serves_is_taken_before_a_newer_one(office: Path) -> None:
    shutil.rmtree(office / ".venv")
    shutil.copytree(office.parent / "index", office / "wheelhouse")
    for python in set(PYTHONS) - {OWN}:
        (office / "wheelhouse" / compiled(python)).unlink()
    newer = office.parent / "newer-python"
    newer.write_text("#!/bin/sh\necho cp399\n")
    newer.chmod(0o755)
    code, errors = run(office, "--setup", XAIVA_PYTHON=f"{newer} {PYTHON}")
    assert code == 0, errors
    assert f"(Python 3.{OWN[1:]}." in errors


def _only_tools(folder: Path) -> str:
    """A PATH without any Python."""
    folder.mkdir()
    for tool in ("dirname", "cat", "cksum", "grep", "ls", "sed", "sort", "tr", "uname", "head", "find"):
        (folder / tool).symlink_to(shutil.which(tool) or "")
    return str(folder)


def _of_the_machine(folder: Path) -> dict[str, str]:
    """Settings of other software on the machine must not affect the installation."""
    wheel_file(folder / "site/fast-1.0-py3-none-any.whl", "fast", "1.0")
    shutil.unpack_archive(folder / "site/fast-1.0-py3-none-any.whl", folder / "site", "zip")
    (folder / "constraints.txt").write_text("fast<1\n")
    return {
        "LC_ALL": "C",
        "PYTHONPATH": str(folder / "site"),
        "PIP_USER": "1",
        "PIP_CONSTRAINT": str(folder / "constraints.txt"),
        "PIP_NO_INDEX": "0",
    }


def test_a_site_is_set_up_whatever_its_path_holds_and_its_environment_says(office: Path) -> None:
    shutil.rmtree(office / ".venv")
    site = office.rename(office.parent / "Prüf stand")
    shutil.copytree(office.parent / "index", site / "wheelhouse")
    (site / "tui.py").write_text("import fast; print(fast.__file__)")
    (office.parent / "bin").mkdir()
    link = office.parent / "bin/xaiva"
    link.symlink_to(site / "xaiva")
    environment = os.environ | _of_the_machine(office.parent) | {"XAIVA_PYTHON": PYTHON, "UV": "none"}
    for launcher in (link, site / "xaiva"):
        done = subprocess.run([launcher], cwd="/", env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{site}/.venv/")
    assert done.stderr == ""  # set up once


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("noexec", "is mounted noexec."),
        ("ro", "nothing can be written to"),
        ("size=1m", "see the lines above"),  # a full disk is not the wheelhouse's fault
    ],
)
def test_a_file_system_that_takes_no_set_up_is_named_as_such(office: Path, options: str, said: str) -> None:
    """`sh xaiva` is what a person types where `./xaiva` is refused."""
    mount = office.parent / "mounted"
    mount.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "none", mount], capture_output=True, check=False)
    require(mounted.returncode == 0, "the right to mount")
    try:
        shutil.copytree(office, mount / "xaiva", ignore=shutil.ignore_patterns(".venv"))
        shutil.copytree(office.parent / "index", mount / "xaiva/wheelhouse")
        subprocess.run(["mount", "-o", f"remount,{options}", mount], check=True)
        done = subprocess.run(
            ["sh", mount / "xaiva/xaiva", "--setup"],
            env=os.environ | {"XAIVA_PYTHON": PYTHON},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        subprocess.run(["umount", mount], check=True)
    assert done.returncode == 1
    assert said in done.stderr
    assert "copy it" not in done.stderr


def test_two_at_once_do_not_meet(office: Path, silent_index: socket.socket) -> None:
    address = f"http://127.0.0.1:{silent_index.getsockname()[1]}/simple"
    first = start(office, "--wheelhouse", "demo", PIP_NO_INDEX="0", PIP_INDEX_URL=address)
    connection, _ = silent_index.accept()  # the first waits for an answer
    with connection:
        code, errors = run(office, "--wheelhouse", "demo")
        assert code == 0, errors
        assert [name for name in names(office) if ".part" in name]  # what the first download has so far
        os.killpg(first.pid, signal.SIGTERM)
        first.communicate(timeout=60)
    assert names(office / "wheelhouse") == names(office.parent / "index")
    assert not [name for name in names(office) if ".part" in name]
