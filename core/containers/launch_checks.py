"""Checks before a launch: finds everything that would prevent the container from starting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import labels
from core.containers import replacement
from core.containers.gpu_access import GpuAccess, gpu_access, missing_toolkit_finding
from core.containers.listing import bound_ports, inspect_container, list_containers
from core.containers.model import Container, ContainerPort, ContainerState, format_host_ports
from core.containers.port_conflicts import port_holders, ports_collide
from core.containers.run_settings import RunSettings
from core.containers.run_user import unwritable_folders
from core.engine import engine_errors, engine_version_findings
from core.engine_image import inspect_image
from core.findings import Finding

if TYPE_CHECKING:
    import docker


@dataclass(frozen=True)
class EngineSnapshot:
    """What the checks need to know about the engine."""

    containers: Sequence[Container]
    image: dict[str, Any] | None
    """The image's full description; None when the engine does not have it."""
    image_tag: str
    gpus: GpuAccess
    has_init: bool
    """Whether the engine can give a container an init process."""
    local: bool
    own_ports: Sequence[ContainerPort]
    """The ports of a running container with the name to be launched."""
    version: Sequence[Finding]
    """What is wrong with the version of the engine."""


def take_snapshot(
    client: docker.DockerClient, preset_name: str, name: str, *, dev: bool, gpus: bool, local: bool
) -> EngineSnapshot:
    """Ask the engine for everything that the checks need. Raises EngineError."""
    tag, image = _find_image(client, preset_name, dev)
    with engine_errors("Engine's description"):
        description: dict[str, Any] = client.info()
    access = gpu_access(description, local=local) if gpus else GpuAccess.NONE
    containers = list_containers(client)
    running = next((container for container in containers if container.name == name and container.running), None)
    own_ports = bound_ports(inspect_container(client, running.id)) if running else []
    version = engine_version_findings(client)
    return EngineSnapshot(containers, image, tag, access, _has_init(description), local, own_ports, version)


def launch_findings(
    preset_name: str,
    name: str,
    settings: RunSettings,
    snapshot: EngineSnapshot,
    *,
    replace: bool,
    create_folders: bool = False,
) -> list[Finding]:
    """Every problem of launching the preset as container `name`; with an error among them it would not start.

    With `create_folders` a missing folder is only a note, because the launch creates it.
    """
    findings = [*snapshot.version]
    if snapshot.image is None:
        findings.append(_image_missing(preset_name, snapshot.image_tag))
    if settings.gpus and snapshot.gpus is GpuAccess.NONE:
        findings.append(missing_toolkit_finding(f"preset {preset_name}: run.gpus"))
    if not snapshot.has_init:
        findings.append(_no_init_finding())
    findings += _name_findings(preset_name, name, snapshot.containers, replace)
    findings += _port_findings(preset_name, settings, snapshot)
    findings += _missing_folder_findings(preset_name, settings, snapshot, create_folders)
    findings += _unwritable_folder_findings(preset_name, settings, snapshot)
    return findings


def missing_folders(settings: RunSettings) -> list[Path]:
    """Bind-mounted paths that do not exist on this machine."""
    paths = [Path(mount.source) for mount in settings.mounts if not mount.named]
    return [path for path in paths if not path.exists()]


def _find_image(client: docker.DockerClient, preset_name: str, dev: bool) -> tuple[str, dict[str, Any] | None]:
    """Tag and description of the image to launch: in dev mode the `dev` stage if it was built, else the runtime."""
    tags = [labels.image_tag(preset_name)]
    if dev:
        tags.insert(0, labels.image_tag(preset_name, "dev"))
    for tag in tags:
        if (description := inspect_image(client, tag)) is not None:
            return tag, description
    return tags[-1], None


def _has_init(description: dict[str, Any]) -> bool:
    """Whether the engine can run `docker-init`: it asks the program for its version, and says N/A where that fails."""
    commit = description.get("InitCommit")
    return not (isinstance(commit, dict) and commit.get("ID") == "N/A")


def _no_init_finding() -> Finding:
    return Finding.warning(
        code="no-init",
        what="Engine",
        why="it cannot run docker-init, so the container gets no init: processes of jobs that have ended stay listed",
        remedy="install docker-init on the engine's machine (a part of Docker's packages), then launch again",
    )


def _image_missing(preset_name: str, tag: str) -> Finding:
    remedy = f"build it: xaiva build {preset_name}; or load it from a file: xaiva load {preset_name} --file IMAGE.tar"
    return _error("image-missing", f"Image {tag}", "the engine does not have it", remedy)


def _name_findings(preset_name: str, name: str, containers: Sequence[Container], replace: bool) -> list[Finding]:
    what = f"Container {name}"
    if replacement.is_reserved_name(name, preset_name):
        why = "names that end in -before are reserved for containers that are being replaced"
        return [_error("name-kept", what, why, "use another --name")]
    holder = next((container for container in containers if container.name == name), None)
    if holder is None:
        return []
    if not holder.managed:
        return [_error("name-taken", what, "another container, not launched by xaiva, has that name", "rename it")]
    if not holder.state.is_known:
        why = f"this xaiva does not know its state: {holder.state.word}"
        return [_error("name-taken", what, why, f"see: xaiva inspect {name}; stop or remove it first: xaiva rm {name}")]
    if holder.state is ContainerState.REMOVING:
        return [_error("name-taken", what, "the engine is removing it", "launch again when it is gone: xaiva ps")]
    if replace:
        return _replacement_findings(preset_name, holder, containers)
    if holder.running:
        remedy = f"run the command again with --replace, or stop it: xaiva stop {name}"
        return [_error("already-running", what, f"it is already running ({holder.status})", remedy)]
    remedy = f"run the command again with --replace, or start the old one: xaiva restart {name}"
    return [_error("name-taken", what, f"a stopped container has this name ({holder.status})", remedy)]


def _replacement_findings(preset_name: str, holder: Container, containers: Sequence[Container]) -> list[Finding]:
    backup = replacement.backup_name(holder.name)
    if any(container.name == backup and not replacement.is_backup(container) for container in containers):
        why = f"another container has the name that {holder.name} gets while the new one starts"
        return [_error("name-taken", f"Container {backup}", why, "rename it, or remove it")]
    other = "" if holder.preset == preset_name else f"; it belongs to preset {holder.preset}"
    why = f"the launch replaces it ({holder.status}){other}"
    return [Finding.note(code="replaced", what=f"Container {holder.name}", why=why)]


def _port_findings(preset_name: str, settings: RunSettings, snapshot: EngineSnapshot) -> list[Finding]:
    # A container of this name releases its ports when it is replaced; otherwise it is a finding already.
    wanted_ports = [port for port in settings.ports if not any(ports_collide(port, own) for own in snapshot.own_ports)]
    remedy, location = "stop that, or change run.ports of the preset", f"preset {preset_name}: run.ports"
    return [
        _error("port-taken", f"Port {format_host_ports(ports)}", f"it is taken by {holder}", remedy, location)
        for holder, ports in port_holders(wanted_ports, snapshot.containers, local=snapshot.local).items()
    ]


def _missing_folder_findings(
    preset_name: str, settings: RunSettings, snapshot: EngineSnapshot, create_folders: bool
) -> list[Finding]:
    if not snapshot.local:
        return []  # the paths are on the engine's machine
    if create_folders:
        return [
            Finding.note(code="volume-made", what=f"Volume {path}", why="the launch creates this folder")
            for path in missing_folders(settings)
        ]
    remedy = "create it, or run the command again with --create-folders"
    location = f"preset {preset_name}: run.volumes"
    return [
        _error("volume-missing", f"Volume {path}", "there is no such file or folder", remedy, location)
        for path in missing_folders(settings)
    ]


def _unwritable_folder_findings(preset_name: str, settings: RunSettings, snapshot: EngineSnapshot) -> list[Finding]:
    if not snapshot.local:
        return []
    location = f"preset {preset_name}: run.volumes"
    return [
        _error(
            "volume-not-writable",
            f"Volume {folder}",
            "it belongs to root, and the service does not run as root",
            f"sudo chown -R {owner} {folder}",
            location,
        )
        for folder, owner in unwritable_folders(settings, snapshot.image)
    ]


def _error(code: str, what: str, why: str, remedy: str, location: str = "") -> Finding:
    return Finding.error(code=code, what=what, why=why, remedy=remedy, where=location)
