"""What to install to get an engine: the packages of the distribution, or why there are none."""

from __future__ import annotations

import pytest

from core.install_commands import engine_install_commands, ssh_keygen_advice

MINT = {"ID": "linuxmint", "ID_LIKE": "ubuntu debian", "VERSION_ID": "22.1", "UBUNTU_CODENAME": "noble"}


@pytest.mark.parametrize(
    ("os_release", "package"),
    [
        ({"ID": "debian", "VERSION_ID": "13"}, "docker-cli"),
        ({"ID": "ubuntu", "VERSION_ID": "22.04"}, "docker-buildx"),
        ({"ID": "ubuntu", "VERSION_ID": "24.04"}, "docker-compose-v2"),
        (MINT, "docker-buildx"),
        ({"ID": "fedora", "VERSION_ID": "41"}, "moby-engine"),
    ],
    ids=lambda value: value["ID"] if isinstance(value, dict) else "",
)
def test_the_packages_of_the_distribution(os_release: dict[str, str], package: str) -> None:
    assert any(package in command for command in engine_install_commands(os_release).commands)


@pytest.mark.parametrize(
    ("os_release", "text"),
    [
        ({"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"}, "Debian 12 has Docker 20.10 or older"),
        ({"ID": "debian", "PRETTY_NAME": "Debian sid"}, "Debian sid does not say its version"),
        ({"ID": "rocky", "VERSION_ID": "9.4"}, "rocky 9.4 has no packages of a Docker engine"),
        ({"ID": "fedora", "VERSION_ID": "40"}, "has no package of buildx"),
        ({**MINT, "UBUNTU_CODENAME": "unheard"}, "does not say its version"),
        ({"ID": "nixos", "VERSION_ID": "25.05"}, "xaiva knows no package of a Docker engine for nixos 25.05"),
        ({}, "xaiva knows no package of a Docker engine for this Linux"),
    ],
    ids=lambda value: value.get("ID", "none") if isinstance(value, dict) else "",
)
def test_no_command_where_no_package_is_known_to_fit(os_release: dict[str, str], text: str) -> None:
    advice = engine_install_commands(os_release)
    assert advice.commands == ()
    assert text in advice.text
    assert "Docker's documentation" in advice.text


@pytest.mark.parametrize(
    ("user", "sudo", "command"),
    [
        (0, "/usr/bin/sudo", "apt-get update"),
        (1000, "/usr/bin/sudo", "sudo apt-get update"),
        (1000, None, "su - -c 'apt-get update'"),
    ],
)
def test_how_the_user_becomes_root_is_part_of_the_command(
    monkeypatch: pytest.MonkeyPatch, user: int, sudo: str | None, command: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("shutil.which", lambda _: sudo)
    assert engine_install_commands({"ID": "ubuntu", "VERSION_ID": "24.04"}).commands[0] == command


@pytest.mark.parametrize(
    ("os_release", "package"),
    [
        ({"ID": "debian", "VERSION_ID": "12"}, "openssh-client"),
        (MINT, "openssh-client"),
        ({"ID": "rocky", "VERSION_ID": "9.4"}, "dnf install openssh"),
    ],
    ids=lambda value: value["ID"] if isinstance(value, dict) else "",
)
def test_the_package_with_ssh_keygen(os_release: dict[str, str], package: str) -> None:
    assert any(package in command for command in ssh_keygen_advice(os_release).commands)


def test_an_unknown_distribution_has_its_own_package_manager() -> None:
    advice = ssh_keygen_advice({"ID": "nixos", "VERSION_ID": "25.05"})
    assert (advice.commands, advice.text) == ((), "install the OpenSSH client with the package manager of nixos 25.05")
