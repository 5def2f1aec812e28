"""What `xaiva doctor --fix` offers: for findings whose remedy is a command, the exact commands on this machine."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.findings import Finding, Level
from core.install_commands import (
    InstallAdvice,
    Part,
    as_root,
    engine_install_commands,
    install_commands,
    read_os_release,
    ssh_keygen_advice,
)

_SYSTEMD = Path("/run/systemd/system")  # exists where systemd runs, as sd_booted(3) says
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_DOCKERS_OWN_PACKAGE = Path("/var/lib/dpkg/info/docker-ce.list")  # dpkg's list of the files of an installed package
_RESTART = "systemctl restart docker"


class Fix(BaseModel):
    """What can be done about the findings with one code."""

    model_config = ConfigDict(frozen=True)

    code: str
    """Of the findings."""
    text: str
    """What the commands do, or why there are none and where to look instead."""
    commands: list[str] = []
    """Shell command lines, to be run in this order."""


OsRelease = Mapping[str, str]


def find_fixes(findings: Iterable[Finding], os_release: OsRelease | None = None) -> list[Fix]:
    """One fix for each code that the table knows, in the order of the findings."""
    facts = read_os_release() if os_release is None else os_release
    codes = dict.fromkeys(finding.code for finding in findings if finding.level is not Level.NOTE)
    fixes = (_FIXES[code](facts) for code in codes if code in _FIXES)
    return [fix for fix in fixes if fix is not None]


def _engine_missing(os_release: OsRelease) -> Fix:
    return _of_advice("engine-missing", engine_install_commands(os_release))


def _client(os_release: OsRelease) -> Fix:
    return _of_packages("docker-client", Part.CLIENT, os_release)


def _buildx(os_release: OsRelease) -> Fix:
    return _of_packages("buildx", Part.BUILDX, os_release)


def _compose(os_release: OsRelease) -> Fix:
    return _of_packages("compose", Part.COMPOSE, os_release)


def _ssh_keygen(os_release: OsRelease) -> Fix:
    return _of_advice("ssh-keygen", ssh_keygen_advice(os_release))


def _engine_stopped(_: OsRelease) -> Fix:
    if not _SYSTEMD.is_dir():
        text = "no systemd runs here: start dockerd the way this machine starts its services"
        return Fix(code="engine-stopped", text=text)
    return Fix(code="engine-stopped", text="start the engine", commands=[as_root("systemctl start docker")])


def _engine_group(_: OsRelease) -> Fix:
    try:
        user = pwd.getpwuid(os.getuid()).pw_name  # $USER may name somebody else, as after `su`
    except KeyError:
        text = f"this machine has no user with the number {os.getuid()}, who could be added to the group docker"
        return Fix(code="engine-group", text=text)
    text = "let this user use the engine, which is as much as being root; it takes effect at the next log-in"
    return Fix(code="engine-group", text=text, commands=[as_root(f"usermod -aG docker {shlex.quote(user)}")])


def _gpu_toolkit(_: OsRelease) -> Fix | None:
    if not _NVIDIA_DRIVER.exists():
        return None  # containers need no GPU of a machine that has none
    if shutil.which("nvidia-ctk") is None:
        text = (
            "install the package nvidia-container-toolkit, which needs a network and NVIDIA's own package source; "
            'see "Installing the NVIDIA Container Toolkit" in NVIDIA\'s documentation'
        )
        return Fix(code="gpu-toolkit", text=text)
    configure = "nvidia-ctk runtime configure --runtime=docker"
    text = "let the engine give GPUs to containers; its restart stops the running ones unless live-restore is set"
    return Fix(code="gpu-toolkit", text=text, commands=[as_root(configure), as_root(_RESTART)])


def _log_out(_: OsRelease) -> Fix:
    text = "let the processes of this user run on when they log out"
    return Fix(code="log-out", text=text, commands=["loginctl enable-linger"])


# By the code of a finding. Sources: Docker's documentation ("Linux post-installation steps": the group; "Install Docker
# Engine"), NVIDIA's ("Installing the NVIDIA Container Toolkit"), loginctl(1); core/install_commands.py for packages.
_FIXES: dict[str, Callable[[OsRelease], Fix | None]] = {
    "engine-missing": _engine_missing,
    "engine-stopped": _engine_stopped,
    "engine-group": _engine_group,
    "docker-client": _client,
    "buildx": _buildx,
    "compose": _compose,
    "ssh-keygen": _ssh_keygen,
    "gpu-toolkit": _gpu_toolkit,
    "log-out": _log_out,
}


def _of_packages(code: str, part: Part, os_release: OsRelease) -> Fix:
    """A part from the distribution's packages, which cannot be mixed with Docker's own."""
    if _DOCKERS_OWN_PACKAGE.exists():
        text = f"install {part.value} from where the installed package docker-ce comes from: Docker's own packages"
        return Fix(code=code, text=text)
    return _of_advice(code, install_commands(part, os_release))


def _of_advice(code: str, advice: InstallAdvice) -> Fix:
    return Fix(code=code, text=advice.text, commands=list(advice.commands))
