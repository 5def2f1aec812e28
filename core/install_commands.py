"""The commands that install Docker's parts and OpenSSH on this machine, from the packages of its own distribution."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from core.engine_version import MINIMUM_ENGINE
from core.terminal_text import strip_controls

_GUIDE = (
    f'see "Install Docker Engine" in Docker\'s documentation for Docker Engine {MINIMUM_ENGINE} or newer with the '
    "plugins buildx and compose"
)
_PROGRAM_FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/snap/bin")  # not all are on PATH


class Part(str, Enum):
    """What can be missing, as the distributions divide it into packages."""

    ENGINE = "a Docker engine"  # with its client and its plugins buildx and compose
    CLIENT = "a docker client"
    BUILDX = "the buildx plugin"
    COMPOSE = "the compose plugin"


@dataclass(frozen=True)
class InstallAdvice:
    """How to get a program here."""

    distribution: str
    """Its name and version, as it calls itself, or `this Linux` when it does not say."""
    text: str
    """One sentence: what the commands do, or why there are none and where to look instead."""
    commands: tuple[str, ...] = ()
    """Shell command lines, to be run in this order, with `sudo` where this user needs it. Empty when there are none."""


@dataclass(frozen=True)
class _Packages:
    """What one distribution has: its packages, the first version they suit, and why they do not suit an older one."""

    commands: tuple[str, ...]
    """Those that install `{}`, the packages."""
    names: Mapping[Part, str]
    since: tuple[int, ...]
    older: str


_APT = ("apt-get update", "apt-get install {}")
_RHEL = _Packages((), {}, (), "has no packages of a Docker engine")
# By ID of os-release. Sources: the package lists of Debian (bookworm: docker.io 20.10.24; trixie: docker.io 26.1.5 with
# its client docker-cli, docker-buildx 0.13.1, docker-compose 2.26.1), of Ubuntu (jammy-updates and noble-updates:
# docker-buildx 0.30.1, which needs docker.io, and docker-compose-v2; the client is in docker.io), and of Fedora
# (docker-cli, docker-buildx and docker-compose 2 are packages since 41).
_PACKAGES = {
    "debian": _Packages(
        _APT,
        {
            Part.ENGINE: "docker.io docker-cli docker-buildx docker-compose",
            Part.CLIENT: "docker-cli",
            Part.BUILDX: "docker-buildx",
            Part.COMPOSE: "docker-compose",
        },
        (13,),
        "has Docker 20.10 or older, and no buildx",
    ),
    "ubuntu": _Packages(
        _APT,
        {
            Part.ENGINE: "docker.io docker-buildx docker-compose-v2",
            Part.CLIENT: "docker.io",
            Part.BUILDX: "docker-buildx",
            Part.COMPOSE: "docker-compose-v2",
        },
        (22, 4),
        "gets no more updates of its Docker packages",
    ),
    "fedora": _Packages(
        ("dnf install {}",),
        {
            Part.ENGINE: "moby-engine docker-cli docker-buildx docker-compose",
            Part.CLIENT: "docker-cli",
            Part.BUILDX: "docker-buildx",
            Part.COMPOSE: "docker-compose",
        },
        (41,),
        "has no package of buildx",
    ),
    **dict.fromkeys(("rhel", "centos", "rocky", "almalinux", "ol"), _RHEL),
}
_RPM_FAMILY = ("fedora", "rhel", "centos", "rocky", "almalinux", "ol")
_SSH_KEYGEN: dict[str, tuple[str, ...]] = {  # Red Hat's family has ssh-keygen in the package of client and server
    **dict.fromkeys(("debian", "ubuntu"), ("apt-get install openssh-client",)),
    **dict.fromkeys(_RPM_FAMILY, ("dnf install openssh",)),
}
_STARTED_BY_HAND = ("fedora",)  # Debian and Ubuntu start a service when its package is installed
_UBUNTU_VERSIONS = {"jammy": "22.04", "noble": "24.04"}  # of distributions that are built on Ubuntu's packages


def engine_install_commands(os_release: Mapping[str, str] | None = None) -> InstallAdvice:
    """How to install a Docker engine on the distribution that `os_release` describes; without it, on this machine."""
    facts = read_os_release() if os_release is None else os_release
    advice = install_commands(Part.ENGINE, facts)
    if not advice.commands or distribution(facts)[0] not in _STARTED_BY_HAND:
        return advice
    return replace(advice, commands=(*advice.commands, as_root("systemctl enable --now docker")))


def install_commands(part: Part, os_release: Mapping[str, str]) -> InstallAdvice:
    """How to install one part from the packages of the distribution."""
    name, version = distribution(os_release)
    shown = _shown(os_release, name, version)
    packages = _PACKAGES.get(name)
    if packages is None:
        return InstallAdvice(shown, f"xaiva knows no package of {part.value} for {shown}; {_GUIDE}")
    if not packages.since or (version and _numbers(version) < packages.since):
        return InstallAdvice(shown, f"{shown} {packages.older}; {_GUIDE}")
    if not version:
        return InstallAdvice(shown, f"{shown} does not say its version; {_GUIDE}")
    commands = (as_root(command.format(packages.names[part])) for command in packages.commands)
    return InstallAdvice(shown, f"install {part.value} from the packages of {shown}", tuple(commands))


def ssh_keygen_advice(os_release: Mapping[str, str] | None = None) -> InstallAdvice:
    """How to install `ssh-keygen`; the packages are on a distribution's installation media, too."""
    facts = read_os_release() if os_release is None else os_release
    name, version = distribution(facts)
    shown = _shown(facts, name, version)
    commands = _SSH_KEYGEN.get(name)
    if commands is None:
        return InstallAdvice(shown, f"install the OpenSSH client with the package manager of {shown}")
    text = f"install the OpenSSH client from the packages of {shown}"
    return InstallAdvice(shown, text, tuple(as_root(command) for command in commands))


def engine_is_installed() -> bool:
    """Whether this machine has a Docker engine, running or not."""
    return shutil.which("dockerd") is not None or any(Path(folder, "dockerd").exists() for folder in _PROGRAM_FOLDERS)


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


def _shown(os_release: Mapping[str, str], name: str, version: str) -> str:
    """What the distribution calls itself."""
    return strip_controls(os_release.get("PRETTY_NAME") or " ".join(filter(None, (name, version)))) or "this Linux"


def as_root(command: str) -> str:
    """The command line with which this user runs `command` as root: with `sudo`, or with `su -` where that is missing.

    Without the dash the command would have this user's PATH, on Debian one without /usr/sbin.
    """
    if os.geteuid() == 0:
        return command
    return f"sudo {command}" if shutil.which("sudo") else f"su - -c {shlex.quote(command)}"


def _numbers(version: str) -> tuple[int, ...]:
    """`22.04` as (22, 4); what is not a number counts as 0, so that an unknown version is not taken for a new one."""
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))
