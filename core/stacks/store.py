"""The stacks of a site: the folders `stacks/<name>/` with a compose file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from core import labels
from core.containers.model import ContainerPort
from core.engine import docker_environment
from core.errors import InputError, os_reason
from core.presets.store import preset_path
from core.site import Site
from core.stacks.compose import config_hashes, resolve_config
from core.stacks.model import (
    ALL_GPUS,
    COMPOSE_FILE,
    EXTENSION,
    BuildSection,
    Dependency,
    GpuRequest,
    ImageOrigin,
    Service,
    ServiceExtension,
    Stack,
    VolumeUse,
)
from core.validation_errors import first_problem

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")  # compose's own rule for the names of projects
DEFAULT_CONDITION = "service_started"


@dataclass(frozen=True)
class StackEntry:
    """One folder of the stacks, with what it holds, or why that cannot be used."""

    name: str
    folder: Path
    stack: Stack | None = None
    error: InputError | None = None


def stack_folder(site: Site, name: str) -> Path:
    """The folder of the stack `name`, which may not exist. Raises InputError for an invalid name."""
    if not _NAME.fullmatch(name) or len(name) > 63:
        remedy = "use small letters, digits, - and _, and begin with a letter or a digit"
        raise InputError(f"Stack name {name!r}", "docker compose does not accept it", remedy)
    return site.stacks / name


def stack_names(site: Site) -> list[str]:
    """The names of the stacks, sorted. Raises InputError when the folder cannot be read."""
    try:
        return sorted(path.parent.name for path in site.stacks.glob(f"*/{COMPOSE_FILE}") if path.parent.name[0] != ".")
    except OSError as error:
        raise InputError(f"{site.stacks}", os_reason(error), "check the folder and its permissions") from error


def list_stacks(site: Site) -> list[StackEntry]:
    """All stacks of the site; a broken one has its error and does not stop the others."""
    return [_entry(site, name) for name in stack_names(site)]


def load_stack(site: Site, name: str) -> Stack:
    """The stack `name`, resolved by compose. Raises InputError with file, line and field; EngineError."""
    folder = stack_folder(site, name)
    if not (folder / COMPOSE_FILE).is_file():
        known = ", ".join(stack_names(site))
        remedy = f"stacks here: {known}" if known else f"write {folder / COMPOSE_FILE}"
        raise InputError(f"Stack {name}", "there is no such stack", remedy)
    env = docker_environment(site)
    with ThreadPoolExecutor(1) as pool:  # each is a process of its own
        hashes = pool.submit(config_hashes, folder, env)
        config = resolve_config(folder, env)
    project = str(config.get("name") or name)
    secrets = config.get("secrets") or {}
    services = {
        key: _service(site, folder, project, key, section or {}, secrets)
        for key, section in (config.get("services") or {}).items()
    }
    return Stack(name, folder, project, _in_start_order(services), hashes.result())


def _entry(site: Site, name: str) -> StackEntry:
    folder = site.stacks / name
    try:
        return StackEntry(name, folder, stack=load_stack(site, name))
    except InputError as error:
        return StackEntry(name, folder, error=error)


def _service(
    site: Site, folder: Path, project: str, name: str, section: Mapping[str, Any], secrets: Mapping[str, Any]
) -> Service:
    extension = _extension(site, folder, name, section)
    build = _build(section, secrets)
    image = str(section.get("image") or f"{project}-{name}")
    if extension.preset and build is not None:
        _refuse(folder, name, "preset", "the service has a `build` section, too", "keep one of the two")
    if extension.preset and image != labels.image_tag(extension.preset):
        tag = labels.image_tag(extension.preset)
        _refuse(folder, name, "preset", f"the service's image is {image}, and not that of the preset", f"image: {tag}")
    without_preset = ImageOrigin.READY if build is None else ImageOrigin.BUILD
    return Service(
        name=name,
        image=image,
        origin=ImageOrigin.PRESET if extension.preset else without_preset,
        extension=extension,
        build=build,
        depends_on=_dependencies(section),
        ports=tuple(_ports(section)),
        volumes=tuple(_volumes(section)),
        gpus=_gpus(section),
        scale=_scale(section),
        profiles=tuple(map(str, section.get("profiles") or ())),
        resolved=section,
    )


def _extension(site: Site, folder: Path, name: str, section: Mapping[str, Any]) -> ServiceExtension:
    try:
        extension = ServiceExtension.model_validate(section.get(EXTENSION) or {})
    except ValidationError as error:
        field, why = first_problem(error)
        _refuse(folder, name, field, why, "docs/stacks.md explains every key")
    if extension.preset:
        path = preset_path(site, extension.preset)
        if not path.is_file():
            _refuse(folder, name, "preset", f"there is no preset {extension.preset}", f"write {path}")
    return extension


def _refuse(folder: Path, service: str, field: str, why: str, remedy: str) -> None:
    """Raise the InputError about a key of `x-xaiva`."""
    raise InputError(f"{folder / COMPOSE_FILE}: services.{service}.{EXTENSION}.{field}", why, remedy)


def _build(section: Mapping[str, Any], secrets: Mapping[str, Any]) -> BuildSection | None:
    build = section.get("build")
    if not isinstance(build, dict):
        return None
    context = Path(str(build.get("context") or "."))
    arguments = {str(key): str(value) for key, value in (build.get("args") or {}).items() if value is not None}
    dockerfile = context / str(build.get("dockerfile") or "Dockerfile")
    contexts = {str(name): str(place) for name, place in (build.get("additional_contexts") or {}).items()}
    sources = {}
    for entry in build.get("secrets") or ():
        name = str(entry.get("source") or "")
        given = secrets.get(name) or {}
        source = f"env={given['environment']}" if given.get("environment") else f"src={given.get('file', '')}"
        sources[str(entry.get("target") or name)] = source
    return BuildSection(context, dockerfile, str(build.get("target") or ""), arguments, contexts, sources, build)


def _dependencies(section: Mapping[str, Any]) -> dict[str, Dependency]:
    return {
        str(name): Dependency(
            str((entry or {}).get("condition") or DEFAULT_CONDITION),
            bool((entry or {}).get("required", True)),
            bool((entry or {}).get("restart", False)),
        )
        for name, entry in (section.get("depends_on") or {}).items()
    }


def _ports(section: Mapping[str, Any]) -> Iterator[ContainerPort]:
    for port in section.get("ports") or ():
        published = str(port.get("published") or "")
        yield ContainerPort(
            container_port=int(port["target"]),
            protocol=str(port.get("protocol") or "tcp"),
            host_ip=str(port.get("host_ip") or ""),
            host_port=int(published) if published.isdecimal() else 0,  # a range: the engine chooses
        )


def _volumes(section: Mapping[str, Any]) -> Iterator[VolumeUse]:
    for mount in section.get("volumes") or ():
        yield VolumeUse(
            str(mount.get("type") or "volume"),
            str(mount.get("source") or ""),
            str(mount.get("target") or ""),
            bool(mount.get("read_only", False)),
        )


def _scale(section: Mapping[str, Any]) -> int:
    replicas = (section.get("deploy") or {}).get("replicas")
    return int(section.get("scale", 1) if replicas is None else replicas)


def _gpus(section: Mapping[str, Any]) -> GpuRequest:
    """The GPUs of a service, from `gpus` or from the device reservations of `deploy`."""
    reservations = (((section.get("deploy") or {}).get("resources") or {}).get("reservations") or {}).get("devices")
    devices = [device for device in reservations or () if "gpu" in (device.get("capabilities") or ())]
    count, ids = 0, []
    for device in [*(section.get("gpus") or ()), *devices]:
        ids += [str(word) for word in device.get("device_ids") or ()]
        asked = device.get("count", 0 if device.get("device_ids") else ALL_GPUS)
        count = ALL_GPUS if asked in (ALL_GPUS, "all") else count + int(asked)
    return GpuRequest(count, tuple(ids))


def _in_start_order(services: Mapping[str, Service]) -> dict[str, Service]:
    """Each service after those it depends on; compose has refused circles."""
    ordered: dict[str, Service] = {}

    def add(name: str) -> None:
        if name in ordered or name not in services:
            return
        for dependency in sorted(services[name].depends_on):
            add(dependency)
        ordered[name] = services[name]

    for name in sorted(services):
        add(name)
    return ordered
