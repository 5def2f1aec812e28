"""Translates a preset's run settings for the engine: ports, mounts, variables, GPUs. Needs no engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.containers.model import ContainerPort
from core.env_file import read_env_file
from core.errors import InputError, os_reason
from core.presets.model import Preset
from core.presets.run_fields import parse_ports, parse_volume
from core.redaction import add_secrets, has_placeholder
from core.service_client import TOKEN_VARIABLE
from core.site import Site

DATA_FOLDER = "/data"  # where the service writes all its data
DEV_FOLDER = "/src"  # where dev mode mounts the source


@dataclass(frozen=True)
class Mount:
    """One mount of the container."""

    source: str
    """An absolute path, or the name of an engine's volume when `named`."""
    target: str
    read_only: bool = False
    named: bool = False
    options: tuple[str, ...] = ()
    """The engine's own options, such as `Z`."""


@dataclass(frozen=True)
class RunSettings:
    """A preset's run settings in the engine's terms."""

    ports: tuple[ContainerPort, ...]
    mounts: tuple[Mount, ...]
    environment: Mapping[str, str]
    shm_bytes: int
    """0 for the engine's default."""
    gpus: tuple[str, ...]
    """Empty for none, `("all",)`, or indices, UUIDs and CDI names."""
    data_folders: tuple[str, ...] = ()
    """The folders of this machine in which the service stores its data."""


def read_run_settings(site: Site, preset_name: str, preset: Preset, *, dev: bool) -> RunSettings:
    """The preset's run settings. Relative paths, also of env files, are relative to the site's folder.

    Raises InputError for an env file that cannot be read or a variable with ***; loading the preset checked the rest.
    """
    from docker.utils import parse_bytes

    run = preset.run
    mounts = [_mount(site, text) for text in run.volumes]
    if dev:
        mounts += _dev_mounts(site, preset)
    environment: dict[str, str] = {}
    if preset.inference_service and (token := site.secret(TOKEN_VARIABLE)):
        environment[TOKEN_VARIABLE] = token  # the console sends it, so the service must require it
    for name in run.env_files:
        environment.update(_read_env_file(site, f"Preset {preset_name}: run.env_files", name))
    environment.update(run.environment)
    for variable, value in environment.items():
        if has_placeholder(value):
            why = "it contains *** in place of a secret"
            raise InputError(f"Preset {preset_name}: variable {variable}", why, "write the secret itself")
    add_secrets(environment)  # the engine's errors may repeat them
    return RunSettings(
        ports=tuple(port for text in run.ports for port in _parse_ports(text)),
        mounts=tuple(mounts),
        environment=environment,
        shm_bytes=int(parse_bytes(run.shm_size)) if run.shm_size else 0,
        gpus=() if run.gpus in ("", "none") else tuple(run.gpus.split(",")),
        data_folders=tuple(mount.source for mount in mounts if mount.target == DATA_FOLDER and not mount.named),
    )


def _parse_ports(text: str) -> list[ContainerPort]:
    return [
        ContainerPort(container_port=port.container, protocol=port.protocol, host_ip=port.ip, host_port=port.host)
        for port in parse_ports(text)
    ]


def _mount(site: Site, text: str) -> Mount:
    volume = parse_volume(text)
    source = volume.host if volume.is_named else _path(site, volume.host)
    return Mount(source, volume.container, volume.read_only, volume.is_named, volume.options)


def _dev_mounts(site: Site, preset: Preset) -> list[Mount]:
    """The mount of the source; if it is a checkout of this project, also one over the installed service.

    The service ignores working folder and PYTHONPATH, so its installed package itself has to be replaced.
    """
    source = _path(site, preset.run.dev.source)
    mounts = [Mount(source, DEV_FOLDER)]
    package = Path(source) / "core"
    if preset.inference_service and not preset.run.command and (package / "inference").is_dir():
        installed = f"/opt/xaiva/lib/python{preset.python_version}/site-packages/core"
        mounts.append(Mount(str(package), installed, read_only=True))
    return mounts


def _path(site: Site, text: str) -> str:
    return os.path.normpath(site.root / text)


def _read_env_file(site: Site, field: str, name: str) -> dict[str, str]:
    path = site.root / name
    try:
        return read_env_file(path, site.env)
    except (OSError, UnicodeDecodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(field, f"{path}: {reason}", "create the file, or remove it from the preset") from error
