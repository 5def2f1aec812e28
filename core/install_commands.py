"""The commands that install a Docker engine on this machine, from the packages of its own distribution."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from core.engine_version import MINIMUM_ENGINE
from core.terminal_text import strip_controls

NEEDED = f"Docker Engine {MINIMUM_ENGINE} or newer with the buildx plugin"
_GUIDE = f'see "Install Docker Engine" in Docker\'s documentation for {NEEDED}'


@dataclass(frozen=True)
class InstallAdvice:
    """How to get an engine here."""

    distribution: str
    """Its name and version, as it calls itself, or `this Linux` when it does not say."""
    text: str
    """One sentence: what the commands do, or why there are none and where to look instead."""
    commands: tuple[str, ...] = ()
    """Shell command lines, to be run in this order, with `sudo` where this user needs it. Empty when there are none."""


@dataclass(frozen=True)
class _Packages:
    """What one distribution has: the commands, the first version they suit, and why they do not suit an older one."""

    commands: tuple[str, ...]
    since: tuple[int, ...]
    older: str


_RHEL = _Packages((), (), "has no packages of a Docker engine")
# By ID of os-release. Sources: the package lists of Debian (bookworm: docker.io 20.10.24; trixie: docker.io 26.1.5 with
# its client docker-cli, docker-buildx 0.13.1), of Ubuntu (jammy-updates and noble-updates: docker-buildx 0.30.1, which
# needs docker.io; the client is in docker.io), and of Fedora (docker-cli and docker-buildx are packages since 41).
_PACKAGES = {
    "debian": _Packages(
        ("apt-get update", "apt-get install docker.io docker-cli docker-buildx"),
        (13,),
        "has Docker 20.10 or older, and no buildx",
    ),
    "ubuntu": _Packages(
        ("apt-get update", "apt-get install docker.io docker-buildx"),
        (22, 4),
        "gets no more updates of its Docker packages",
    ),
    "fedora": _Packages(
        ("dnf install moby-engine docker-cli docker-buildx", "systemctl enable --now docker"),
        (41,),
        "has no package of buildx",
    ),
    **dict.fromkeys(("rhel", "centos", "rocky", "almalinux", "ol"), _RHEL),
}
_UBUNTU_VERSIONS = {"jammy": "22.04", "noble": "24.04"}  # of distributions that are built on Ubuntu's packages


def engine_install_commands(os_release: Mapping[str, str] | None = None) -> InstallAdvice:
    """How to install a Docker engine on the distribution that `os_release` describes; without it, on this machine."""
    facts = read_os_release() if os_release is None else os_release
    name, version = distribution(facts)
    shown = strip_controls(facts.get("PRETTY_NAME") or " ".join(filter(None, (name, version)))) or "this Linux"
    packages = _PACKAGES.get(name)
    if packages is None:
        return InstallAdvice(shown, f"xaiva knows no package of a Docker engine for {shown}; {_GUIDE}")
    if not packages.since or (version and _numbers(version) < packages.since):
        return InstallAdvice(shown, f"{shown} {packages.older}; {_GUIDE}")
    if not version:
        return InstallAdvice(shown, f"{shown} does not say its version; {_GUIDE}")
    return InstallAdvice(
        shown,
        f"These commands install the Docker engine of {shown} with buildx",
        tuple(map(as_root, packages.commands)),
    )


def read_os_release() -> dict[str, str]:
    """This machine's os-release; empty when there is none."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def distribution(os_release: Mapping[str, str]) -> tuple[str, str]:
    """ID and version of the distribution whose packages this one uses; both may be empty."""
    name, version = os_release.get("ID", ""), os_release.get("VERSION_ID", "")
    if name != "ubuntu" and "ubuntu" in os_release.get("ID_LIKE", "").split():
        return "ubuntu", _UBUNTU_VERSIONS.get(os_release.get("UBUNTU_CODENAME", ""), "")
    return name, version


def as_root(command: str) -> str:
    """The command line with which this user runs `command` as root: with `sudo`, or with `su` where that is missing."""
    if os.geteuid() == 0:
        return command
    return f"sudo {command}" if shutil.which("sudo") else f"su -c {shlex.quote(command)}"


def _numbers(version: str) -> tuple[int, ...]:
    """`22.04` as (22, 4); what is not a number counts as 0, so that an unknown version is not taken for a new one."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))
