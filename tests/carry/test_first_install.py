"""The launcher of a medium: the first install with the key's fingerprint compared, and what it refuses."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.carry.shipment import SHIPMENTS, blob_path
from core.site import Site
from tests.support import require, until
from tests.support.checkout import checkout, fetch_wheels, stick
from tests.support.console_medium import ROOT, SHIPMENT, Box, Office, pack_console, small_checkout
from tests.support.disks import small_disk
from tests.support.pty_session import PtySession

NOBODY = 65534
# What the launcher and the set-up need of a machine, besides ssh-keygen and Python.
TOOLS = (
    *("cat", "chmod", "cksum", "cp", "cut", "date", "dirname", "du", "find", "grep", "gzip", "head", "id", "ln", "ls"),
    *(
        "mkdir",
        "mktemp",
        "mv",
        "readlink",
        "rm",
        "rmdir",
        "sed",
        "sh",
        "sha256sum",
        "sort",
        "sync",
        "tar",
        "tr",
        "uname",
    ),
)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return Office.create(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="module")
def packed(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("medium")
    pack_console(folder / "medium", office, small_checkout(folder / "checkout"), Site.open(folder))
    return folder / "medium"


@pytest.fixture
def medium(packed: Path, tmp_path: Path) -> Path:
    """A medium whose files may be replaced."""
    return shutil.copytree(packed, tmp_path / "a medium", copy_function=os.link)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    (tmp_path / "home").mkdir()
    return Box(tmp_path / "home")


def _programs(folder: Path, *more: str) -> str:
    """A PATH with the tools and no other programs."""
    folder.mkdir()
    for name in (*TOOLS, *more):
        (folder / name).symlink_to(shutil.which(name) or "")
    return os.fspath(folder)


def _replace(path: Path, data: bytes) -> None:
    path.unlink()  # it is a link to the medium of all tests
    path.write_bytes(data)


@contextmanager
def _noexec(folder: Path) -> Iterator[Path]:
    """A file system on which no program can be run."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "none", folder], check=False)
    require(mounted.returncode == 0, "the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def _check_installed(box: Box, *first_call: str) -> None:
    """The console was installed, told to unpack the medium, and runs in its folder."""
    assert box.calls[0] == ["--site", str(box.target), *first_call]
    assert {path.name for path in box.target.iterdir()} == {
        *("xaiva", "releases", "presets", "artifacts", "docker", ".xaiva"),
    }
    release = (box.target / "releases/current").read_text().strip()
    assert re.fullmatch(r"0\.1\.0-[0-9a-f]{12}", release)
    assert {path.name for path in (box.target / "releases").iterdir()} == {"current", release}


def test_a_person_compares_the_fingerprint_and_types_yes(box: Box, medium: Path, office: Office) -> None:
    with PtySession(box.command(medium), env=box.env) as terminal:
        terminal.wait_for("Type yes:")
        blocks = textwrap.wrap(office.fingerprint.removeprefix("SHA256:"), 4)
        assert office.fingerprint in terminal.text
        assert f"SHA256: {' '.join(blocks)}" in terminal.text  # as `xaiva key create` prints it for the paper
        assert not box.target.exists()
        terminal.press("yes", "enter")
        assert terminal.wait_end() == 0
        assert "the console is here" in terminal.text
    _check_installed(box, "unpack", str(medium), "--trust", office.fingerprint)
    assert box.calls[1:] == [["--site", str(box.target)]]  # a screen is there, so the console opens


def test_a_person_who_does_not_confirm_installs_nothing(box: Box, medium: Path) -> None:
    with PtySession(box.command(medium), env=box.env) as terminal:
        terminal.wait_for("Type yes:")
        terminal.press("y", "enter")
        assert terminal.wait_end() == 1
        assert "the fingerprint was not confirmed" in terminal.text
    assert list(box.home.iterdir()) == []


def test_a_stick_without_modes_on_which_no_program_runs(box: Box, packed: Path, office: Office, tmp_path: Path) -> None:
    with stick(tmp_path / "stick.img", tmp_path / "stick") as mount:
        subprocess.run(["cp", "-r", f"{packed}/.", mount], check=True)
        subprocess.run(["mount", "-o", "remount,bind,noexec", mount], check=True)
        done = box.start(mount, "--trust", office.fingerprint, "ops", "list")
    assert done.returncode == 0, done.stderr
    _check_installed(box, "unpack", str(mount), "--trust", office.fingerprint)
    assert box.calls[1:] == [["--site", str(box.target), "ops", "list"]]


def test_another_fingerprint_than_the_one_on_paper_is_refused(box: Box, medium: Path, office: Office) -> None:
    done = box.start(medium, "--trust", f"SHA256:{'A' * 43}")
    assert done.returncode == 1
    assert f"The fingerprint of this medium's key is {office.fingerprint}" in done.stderr
    assert list(box.home.iterdir()) == []


def test_a_fingerprint_is_typed_as_it_stands_on_paper(box: Box, medium: Path, office: Office) -> None:
    blocks = " ".join(textwrap.wrap(office.fingerprint.removeprefix("SHA256:"), 4))
    done = box.start(medium, "--trust", blocks)
    assert done.returncode == 0, done.stderr
    _check_installed(box, "unpack", str(medium), "--trust", office.fingerprint)


def test_nobody_to_ask_is_refused(box: Box, medium: Path) -> None:
    done = box.start(medium)
    assert done.returncode == 1
    assert "there is no terminal to ask on" in done.stderr
    assert list(box.home.iterdir()) == []


def _flip(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    _replace(path, bytes(data))
    return path


def _some_blob(medium: Path) -> Path:
    line = (medium / SHIPMENTS / SHIPMENT / "console.list").read_text().splitlines()[1]
    return medium / blob_path(line.split()[0])


def _removed(path: Path) -> Path:
    path.unlink()
    return path


def _linked(path: Path) -> Path:
    path.rename(path.with_name("other"))
    path.symlink_to("other")
    return path


FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "manifest": (lambda medium: _flip(medium / SHIPMENTS / SHIPMENT / "manifest.json"), "changed after it was signed"),
    "list": (lambda medium: _flip(medium / SHIPMENTS / SHIPMENT / "console.list"), "its SHA-256 is not the one in"),
    "blob": (lambda medium: _flip(_some_blob(medium)), "its bytes have changed"),
    "no blob": (lambda medium: _removed(_some_blob(medium)), "it is missing"),
    "link": (lambda medium: _linked(medium / SHIPMENTS / SHIPMENT / "manifest.sig"), "it is no file"),
}


@pytest.mark.parametrize(("fault", "problem"), FAULTS.values(), ids=FAULTS)
def test_what_was_changed_is_named_and_nothing_installed(
    box: Box, medium: Path, office: Office, fault: Callable[[Path], Path], problem: str
) -> None:
    path = fault(medium)
    done = box.start(medium, "--trust", office.fingerprint)
    assert done.returncode == 1
    assert problem in done.stderr
    assert str(path) in done.stderr
    assert list(box.home.iterdir()) == []


def test_the_launcher_is_checked_by_hand_as_the_guide_says(medium: Path, office: Office) -> None:
    guide = (ROOT / "docs/site-guide.md").read_text()
    block = guide.partition("cd /mnt/stick/shipments/")[2].partition("```")[0].partition("\n")[2]
    done = subprocess.run(
        block, shell=True, cwd=medium / SHIPMENTS / SHIPMENT, capture_output=True, text=True, check=True
    )
    signer, launcher, _, signed = done.stdout.splitlines()
    assert signer.endswith(office.fingerprint)
    assert launcher.split()[0] in signed


def test_help_changes_nothing(box: Box, medium: Path) -> None:
    done = box.start(medium, "--help")
    assert done.returncode == 2
    assert "sh /media/STICK/xaiva [--to DIR] [--trust SHA256:…]" in done.stderr
    assert list(box.home.iterdir()) == []


def test_an_unfinished_shipment_is_no_console(box: Box, medium: Path, office: Office) -> None:
    (medium / SHIPMENTS / SHIPMENT / "manifest.sig").unlink()
    done = box.start(medium, "--trust", office.fingerprint)
    assert done.returncode == 1
    assert "has no complete shipment with a console" in done.stderr


def test_an_installed_console_judges_the_medium(box: Box, medium: Path, office: Office) -> None:
    assert box.start(medium, "--trust", office.fingerprint).returncode == 0
    (box.home / "calls").unlink()
    shutil.rmtree(medium / SHIPMENTS)  # nothing on the medium is looked at
    done = box.start(medium)
    assert done.returncode == 0, done.stderr
    assert box.calls == [["--site", str(box.target), "unpack", str(medium)]]
    assert "has a console already" in done.stderr


def test_a_folder_with_another_xaiva_is_left_alone(box: Box, medium: Path, office: Office) -> None:
    box.target.mkdir()
    (box.target / "xaiva").write_text("mine")
    done = box.start(medium, "--trust", office.fingerprint)
    assert done.returncode == 1
    assert "it has another xaiva, which was not installed from a medium" in done.stderr
    assert [path.name for path in box.target.iterdir()] == ["xaiva"]


def test_a_killed_install_is_done_again(box: Box, medium: Path, office: Office) -> None:
    command = box.command(medium, "--trust", office.fingerprint)
    killed = subprocess.Popen(
        command, env=box.env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    until(lambda: any(box.target.glob("releases/*/wheelhouse/*")))
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (box.target / "xaiva").exists()
    done = box.start(medium, "--trust", office.fingerprint)
    assert done.returncode == 0, done.stderr
    _check_installed(box, "unpack", str(medium), "--trust", office.fingerprint)


def test_a_folder_on_which_no_program_runs_is_named(box: Box, medium: Path, office: Office, tmp_path: Path) -> None:
    with _noexec(tmp_path / "noexec") as folder:
        done = box.start(medium, "--trust", office.fingerprint, "--to", str(folder / "xaiva"))
        assert list(folder.iterdir()) == []
    assert done.returncode == 1
    assert "its file system is mounted noexec" in done.stderr


def test_a_full_disk_is_named_and_not_the_medium(box: Box, medium: Path, office: Office, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "3m") as folder:
        done = box.start(medium, "--trust", office.fingerprint, "--to", str(folder / "xaiva"))
        assert not (folder / "xaiva").exists()
    assert done.returncode == 1
    assert "there is no room for it" in done.stderr
    assert str(medium) not in done.stderr


def test_files_that_nobody_could_check_are_not_used(box: Box, medium: Path, office: Office, tmp_path: Path) -> None:
    programs = Path(_programs(tmp_path / "bin", "ssh-keygen"))
    (programs / "sha256sum").unlink()
    (programs / "sha256sum").write_text(f'#!/bin/sh\n[ "${{1-}}" != -c ] || exit 1\nexec {shutil.which("sha256sum")}\n')
    (programs / "sha256sum").chmod(0o755)
    done = Box(box.home, str(programs)).start(medium, "--trust", office.fingerprint)
    assert done.returncode == 1
    assert "nothing is known of the files" in done.stderr
    assert list(box.home.iterdir()) == []


def test_a_machine_without_ssh_keygen(box: Box, medium: Path, office: Office, tmp_path: Path) -> None:
    bare = Box(box.home, _programs(tmp_path / "bin"))
    done = bare.start(medium, "--trust", office.fingerprint)
    assert done.returncode == 1
    assert "This machine has no ssh-keygen" in done.stderr
    assert "openssh-client" in done.stderr


def test_a_plain_user_installs_and_is_told_what_needs_root(packed: Path, office: Office) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # only root may enter that of the tests
        home = Path(folder)
        shutil.copytree(packed, home / "medium")
        home.chmod(0o777)
        plain = Box(home, "/usr/bin:/bin", user=NOBODY)
        done = plain.start(home / "medium", "--trust", office.fingerprint)
        assert done.returncode == 0, done.stderr
        _check_installed(plain, "unpack", str(home / "medium"), "--trust", office.fingerprint)
    if Path("/var/run/docker.sock").exists():
        assert "→ as root: usermod -aG docker nobody; then log in again" in done.stderr
    else:
        assert "no Docker engine runs here. Images need one, and only root can install and start it." in done.stderr


@pytest.mark.index
def test_the_whole_console_runs_after_it(box: Box, office: Office, tmp_path: Path) -> None:
    fetch_wheels(checkout(tmp_path / "checkout") / "wheelhouse")
    pack_console(tmp_path / "medium", office, tmp_path / "checkout", Site.open(tmp_path))
    shutil.rmtree(tmp_path / "checkout")
    done = box.start(tmp_path / "medium", "--trust", office.fingerprint, "console", "list")
    release = (box.target / "releases/current").read_text().strip()
    listed = subprocess.run(
        [box.target / "xaiva", "console", "list"], env=box.env, capture_output=True, text=True, check=False
    )
    assert listed.returncode == 0, done.stderr + listed.stderr
    assert re.search(rf"^{release} .* in use$", listed.stdout, re.MULTILINE)


# -- machines without a Python that has everything -------------------------------------------------------------------


def debian_python(folder: Path) -> Path:
    """Debian's Python, as its minimal packages install it: without ensurepip. It runs wherever its folder is."""
    python = Path("/usr/bin/python3").resolve()
    require(shutil.which("dpkg") and python.name.startswith("python3."), "Debian's Python")
    for package in (f"{python.name}-minimal", f"lib{python.name}-minimal", f"lib{python.name}-stdlib"):
        listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=False)
        require(listed.returncode == 0, f"the package {package}")
        for name in listed.stdout.splitlines():
            if name.startswith("/usr/lib/python3") and os.path.isfile(name):
                target = folder / name.removeprefix("/usr/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(name, target)
    (folder / "bin").mkdir()
    shutil.copy(python, folder / "bin" / python.name)
    (folder / "bin/python3").symlink_to(python.name)
    return folder


def test_a_python_without_ensurepip_is_enough(box: Box, medium: Path, office: Office, tmp_path: Path) -> None:
    python = debian_python(tmp_path / "python")
    lean = Box(box.home, f"{python}/bin:{_programs(tmp_path / 'bin', 'ssh-keygen')}")
    missing = subprocess.run([python / "bin/python3", "-c", "import ensurepip"], capture_output=True, check=False)
    assert missing.returncode == 1
    done = lean.start(medium, "--trust", office.fingerprint)
    assert done.returncode == 0, done.stderr
    _check_installed(lean, "unpack", str(medium), "--trust", office.fingerprint)


def test_a_machine_without_python_uses_the_one_of_the_medium(box: Box, office: Office, tmp_path: Path) -> None:
    bare = Box(box.home, _programs(tmp_path / "bin", "ssh-keygen"))
    debian_python(tmp_path / "made/python")
    tar = tmp_path / "python.tar.gz"
    subprocess.run(["tar", "-czf", tar, "-C", tmp_path / "made", "python"], check=True)
    sha256 = subprocess.run(["sha256sum", tar], capture_output=True, text=True, check=True).stdout.split()[0]
    (tmp_path / "site.toml").write_text(f'[carry]\npython = "python.tar.gz"\npython_sha256 = "{sha256}"\n')
    pack_console(tmp_path / "medium", office, small_checkout(tmp_path / "checkout"), Site.open(tmp_path))

    done = bare.start(tmp_path / "medium", "--trust", office.fingerprint)
    assert done.returncode == 0, done.stderr
    assert (bare.target / "xaiva").exists()
    release = (bare.target / "releases/current").read_text().strip()
    python = (bare.target / "releases" / release / ".venv/bin/python").resolve()
    assert python.is_relative_to(bare.target / "releases" / release / "python")
    assert bare.calls == [
        ["--site", str(bare.target), "unpack", str(tmp_path / "medium"), "--trust", office.fingerprint]
    ]


def test_a_machine_without_any_python_is_told(box: Box, medium: Path, office: Office, tmp_path: Path) -> None:
    bare = Box(box.home, _programs(tmp_path / "bin", "ssh-keygen"))
    done = bare.start(medium, "--trust", office.fingerprint)
    assert done.returncode == 1
    assert "no Python 3.10 or newer with venv was found" in done.stderr
    assert list(box.home.iterdir()) == []
