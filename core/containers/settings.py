"""A preset's run settings, read and checked: text becomes ports, volumes, variables and GPUs. No engine is asked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.containers.model import Port
from core.errors import InputError
from core.presets.model import Preset
from core.site import Site

DEV_FOLDER = "/src"  # where dev mode puts the source in the container
_NAMED_VOLUME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]+$")
_VOLUME_MODES = {"": False, "rw": False, "ro": True}
_GPU = re.compile(r"^(\d+|(GPU|MIG)-[0-9a-fA-F-]+|\d+:\d+)$")
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


@dataclass(frozen=True)
class Volume:
    """One mount. `source` is an absolute path, or the name of one of the engine's volumes when `named`."""

    source: str
    target: str
    read_only: bool = False
    named: bool = False


@dataclass(frozen=True)
class Settings:
    """Run settings in the engine's terms. `gpus` is empty for none, `("all",)`, or indices and UUIDs."""

    ports: tuple[Port, ...]
    volumes: tuple[Volume, ...]
    environment: Mapping[str, str]
    shm_bytes: int
    gpus: tuple[str, ...]


def read(site: Site, preset_name: str, preset: Preset, *, dev: bool) -> Settings:
    """The preset's run settings; relative paths are below the site's folder.

    Raises InputError naming preset, field and what would be right.
    """
    field = f"Preset {preset_name}: run."
    run = preset.run
    volumes = [_volume(site.root, f"{field}volumes", text) for text in run.volumes]
    if dev:
        volumes.append(Volume(str(site.root / run.dev.source), DEV_FOLDER))
    environment: dict[str, str] = {}
    for name in run.env_files:
        environment.update(_env_file(site, f"{field}env_files", name))
    environment.update(run.environment)
    return Settings(
        ports=tuple(port for text in run.ports for port in _ports(f"{field}ports", text)),
        volumes=tuple(volumes),
        environment=environment,
        shm_bytes=_bytes(f"{field}shm_size", run.shm_size),
        gpus=_gpus(f"{field}gpus", run.gpus),
    )


def _ports(field: str, text: str) -> list[Port]:
    from docker.utils.ports import split_port

    try:
        inside, outside = split_port(text)
        pairs = zip(inside, outside or [None] * len(inside), strict=True)
        found = [_port(internal, external) for internal, external in pairs]
    except ValueError as error:
        remedy = "write 8600:8600, 127.0.0.1:8600:8600 or 5000:5000/udp"
        raise InputError(field, f"{text!r} is no port", remedy) from error
    for port in found:
        if not (0 < port.container_port < 65536 and 0 <= port.host_port < 65536):
            raise InputError(field, f"{text!r} is outside 1 to 65535", "take another port")
    return found


def _port(internal: str, external: str | tuple[str, str | None] | None) -> Port:
    number, _, protocol = internal.partition("/")
    host_ip, host_port = external if isinstance(external, tuple) else ("", external)
    return Port(
        container_port=int(number), protocol=protocol or "tcp", host_ip=host_ip, host_port=int(host_port or number)
    )


def _volume(root: Path, field: str, text: str) -> Volume:
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source or not target.startswith("/") or mode not in _VOLUME_MODES:
        raise InputError(field, f"{text!r} is no volume", "write ./data:/data, or ./data:/data:ro")
    read_only = _VOLUME_MODES[mode]
    if _NAMED_VOLUME.match(source):
        return Volume(source, target, read_only, named=True)
    path = os.path.normpath(root / Path(source).expanduser())
    return Volume(path, target, read_only)


def _env_file(site: Site, field: str, name: str) -> dict[str, str]:
    """Docker's own format: `NAME=value` as it stands, `NAME` alone takes the site's value, `#` begins a comment."""
    path = site.root / name
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(field, f"{path}: {reason}", "create the file, or take it out of the preset") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        variable, equals, value = text.partition("=")
        if not _VARIABLE.match(variable):
            raise InputError(f"{path}, line {number}", f"{variable!r} is no variable name", "write NAME=value")
        if equals:
            found[variable] = value
        elif variable in site.env:
            found[variable] = site.env[variable]
    return found


def _bytes(field: str, text: str) -> int:
    if not text:
        return 0
    from docker.errors import DockerException
    from docker.utils import parse_bytes

    try:
        size = int(parse_bytes(text))
    except (DockerException, ValueError) as error:
        raise InputError(field, f"{text!r} is no size", "write 512m or 2g") from error
    if size <= 0:
        raise InputError(field, f"{text!r} is no size", "write 512m or 2g")
    return size


def _gpus(field: str, text: str) -> tuple[str, ...]:
    if text in ("", "none"):
        return ()
    if text == "all":
        return ("all",)
    parts = tuple(part.strip() for part in text.split(","))
    wrong = next((part for part in parts if not _GPU.match(part)), None)
    if wrong is not None:
        raise InputError(field, f"{wrong!r} is no GPU", 'write "all", "none", or indices or UUIDs: "0,1"')
    return parts
