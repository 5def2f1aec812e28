"""`xaiva doctor --fix`: the exact commands for what was found, run only when somebody says so."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core import doctor, doctor_fixes
from core.doctor_fixes import find_fixes
from core.findings import Finding, Level
from core.site import Site
from tests.support import require
from tests.support.pty_session import PtySession

DEBIAN_13 = {"ID": "debian", "VERSION_ID": "13"}
FAKE_APT_GET = """#!/bin/sh
echo "apt-get $*" >> "$LOG"
case "$*" in *docker-cli*) /bin/ln -s /bin/true "$PATH/docker" ;; esac
"""


CLIENT_WITHOUT_COMPOSE = """#!/bin/sh
case "$1" in
    compose) echo "unknown flag: $2" >&2; exit 125 ;;
    *) PATH="${PATH#*:}" exec docker "$@" ;;
esac
"""


def _commands(code: str) -> list[str]:
    (fix,) = find_fixes([Finding.error(code, "something")], DEBIAN_13)
    return fix.commands


@pytest.fixture(autouse=True)
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_fixes, "_SYSTEMD", tmp_path)


@pytest.mark.usefixtures("systemd")
def test_each_cause_has_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "somebody else")
    user = pwd.getpwuid(os.getuid()).pw_name
    install = ["apt-get update", "apt-get install docker.io docker-cli docker-buildx docker-compose"]
    assert _commands("engine-missing") == install
    assert _commands("engine-stopped") == ["systemctl start docker"]
    assert _commands("engine-group") == [f"usermod -aG docker {user}"]
    assert _commands("buildx") == ["apt-get update", "apt-get install docker-buildx"]
    assert _commands("compose") == ["apt-get update", "apt-get install docker-compose"]
    assert _commands("ssh-keygen") == ["apt-get install openssh-client"]
    assert find_fixes([Finding.error("disk", "full"), Finding.note("buildx", "fine")], DEBIAN_13) == []


def test_a_machine_without_ssh_keygen_is_warned_of(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(site.root))
    assert "ssh-keygen" in {finding.code for finding in doctor.CHECKS["tools"](site)}


@pytest.mark.engine
def test_a_client_without_compose_is_warned_of(
    engine_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As docker 26 answers without the plugin. Everything but stacks works without it."""
    assert _compose_finding(engine_site).level is Level.NOTE
    (tmp_path / "docker").write_text(CLIENT_WITHOUT_COMPOSE)
    (tmp_path / "docker").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    found = _compose_finding(Site(engine_site.root, engine_site.settings, {**engine_site.env, "PATH": path}))
    assert found.level is Level.WARNING
    assert found.remedy.endswith("xaiva doctor --fix")


def _compose_finding(site: Site) -> Finding:
    return next(found for found in doctor.CHECKS["engine"](site) if found.code == "compose")


def test_no_command_where_it_would_be_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_fixes, "_SYSTEMD", tmp_path / "none")
    assert _commands("engine-stopped") == []
    monkeypatch.setattr(doctor_fixes, "_DOCKERS_OWN_PACKAGE", tmp_path)
    assert _commands("buildx") == []
    (unknown,) = find_fixes([Finding.error("engine-missing", "none")], {"ID": "nixos"})
    assert unknown.commands == []
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_123)
    assert _commands("engine-group") == []
    assert "xaiva knows no package" in unknown.text


def test_the_toolkit_is_named_only_where_there_is_a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Finding.warning("gpu-toolkit", "no GPUs for containers")]
    monkeypatch.setattr(doctor_fixes, "_NVIDIA_DRIVER", tmp_path / "none")
    assert find_fixes(found, DEBIAN_13) == []
    monkeypatch.setattr(doctor_fixes, "_NVIDIA_DRIVER", tmp_path)
    monkeypatch.setattr("shutil.which", lambda _: None)
    (named,) = find_fixes(found, DEBIAN_13)
    assert named.commands == []
    assert "nvidia-container-toolkit" in named.text
    monkeypatch.setattr("shutil.which", lambda name: name)
    assert _commands("gpu-toolkit") == ["nvidia-ctk runtime configure --runtime=docker", "systemctl restart docker"]


def test_a_missing_engine_is_told_from_a_stopped_one(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only this machine's own engine can be installed or started here; the remedy is the same on every screen."""

    def engine_finding(host: str) -> Finding:
        there = Site(site.root, site.settings, {**site.env, "DOCKER_HOST": host})
        return next(found for found in doctor.examine(there) if found.code.startswith("engine"))

    own = f"unix://{tmp_path}/docker.sock"
    monkeypatch.setattr("core.engine.DEFAULT_HOST", own)
    for installed, code in ((False, "engine-missing"), (True, "engine-stopped")):
        monkeypatch.setattr("core.engine.engine_is_installed", lambda installed=installed: installed)
        found = engine_finding(own)
        assert found.code == code
        assert ("systemctl start docker" in found.remedy) is installed
        assert ("xaiva doctor --fix" in found.remedy) is not installed
    assert engine_finding(f"unix://{tmp_path}/other.sock").code == "engine"


def test_a_command_runs_only_after_a_yes(site: Site, tmp_path: Path) -> None:
    """In a terminal, with a fake apt-get and os-release: No runs nothing; Yes runs it, and the check is repeated."""
    require(os.geteuid() == 0 and shutil.which("unshare"), "root, for a mount namespace")
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_ID=13\nPRETTY_NAME="Debian 13"\n')
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "apt-get").write_text(FAKE_APT_GET)
    (programs / "apt-get").chmod(0o755)
    (programs / "sh").symlink_to("/bin/sh")
    (programs / "ssh-keygen").symlink_to("/bin/true")
    env = {"PATH": str(programs), "LOG": str(tmp_path / "log"), "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    doctor_command = [sys.executable, "-m", "core.cli", "--site", str(site.root), "doctor", "--fix"]
    mount = f'/bin/mount --bind {tmp_path}/os-release /etc/os-release && exec "$@"'
    command = [str(shutil.which("unshare")), "--mount", "/bin/sh", "-c", mount, "sh", *doctor_command]

    printed = subprocess.run(
        command, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert "docker-client: install a docker client from the packages of Debian 13\n" in printed.stdout
    assert "  apt-get update\n  apt-get install docker-cli\n" in printed.stdout
    assert printed.returncode == 3
    document = subprocess.run([*command, "--json"], env={**os.environ, **env}, capture_output=True, text=True)
    assert [fix["code"] for fix in json.loads(document.stdout)["fixes"]] == ["docker-client"]

    with PtySession(command, env=env) as session:
        session.wait_for("Run: apt-get update [y/N]")
        session.press("enter")
        session.process.wait(30)
    assert not (tmp_path / "log").exists()
    with PtySession(command, env=env) as session:
        session.wait_for("Run: apt-get update [y/N]")
        session.press("y", "enter")
        session.wait_for("Run: apt-get install docker-cli [y/N]")
        session.press("y", "enter")
        again = session.wait_for("checked again:").partition("checked again:")[2]
        session.process.wait(30)
    assert (tmp_path / "log").read_text() == "apt-get update\napt-get install docker-cli\n"
    assert "No docker client" not in again
