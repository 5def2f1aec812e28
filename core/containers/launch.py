"""Starts a container from a preset's image with the preset's run settings."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from core import audit, labels
from core.containers import launch_checks as checks
from core.containers import replacement
from core.containers.engine_error_table import explain_engine_error
from core.containers.gpu_access import device_request
from core.containers.listing import get_container, inspect_container
from core.containers.manage import watch_start
from core.containers.model import Container
from core.containers.run_settings import DEV_FOLDER, Mount, RunSettings, read_run_settings
from core.containers.run_user import chown_to_image_user, container_user
from core.engine import EngineError, connect_engine, engine_errors, resolve_endpoint
from core.errors import InputError, XaivaError, os_reason
from core.findings import Finding, describe_errors, has_errors
from core.presets.model import HealthCheck, Preset
from core.presets.store import run_sha256
from core.service_client import TOKEN_VARIABLE
from core.site import Site

if TYPE_CHECKING:
    import docker

VIDEO_GROUP = "44"  # the number of the group `video` in every Debian and Ubuntu (base-passwd)
SECOND = 10**9  # the API takes durations in nanoseconds
START_INTERVAL = 2 * SECOND  # between health checks until the first passes; ignored by engines before 25


class LaunchError(XaivaError):
    """A launch that was refused; `findings` has every problem with its remedy."""

    def __init__(self, what: str, findings: Sequence[Finding]) -> None:
        self.findings = list(findings)
        super().__init__(what, *describe_errors(findings))


def check_launch(
    site: Site,
    preset_name: str,
    preset: Preset,
    *,
    name: str = "",
    replace: bool = False,
    create_folders: bool = False,
    dev: bool | None = None,
) -> list[Finding]:
    """Every problem that would prevent the launch, with its remedy; without an error among them it can start.

    Changes nothing. An unreachable engine and unreadable run settings are findings too.
    """
    name = name or labels.container_name(preset_name)
    try:
        dev_mode = preset.run.dev.enabled if dev is None else dev
        settings = read_run_settings(site, preset_name, preset, dev=dev_mode)
        with closing(connect_engine(site)) as client:
            snapshot = _take_snapshot(client, site, preset_name, name, settings, dev_mode)
    except (EngineError, InputError) as error:
        code = "engine" if isinstance(error, EngineError) else "run-settings"
        return [Finding.error(code=code, what=error.what, why=error.why, remedy=error.remedy)]
    return checks.launch_findings(preset_name, name, settings, snapshot, replace=replace, create_folders=create_folders)


def current_container(site: Site, preset_name: str, preset: Preset) -> Container | None:
    """The site's container of the preset if it runs what a launch would start now: newest image, same run settings.

    Raises EngineError; InputError for run settings that cannot be read.
    """
    name, dev_mode = labels.container_name(preset_name), preset.run.dev.enabled
    settings = read_run_settings(site, preset_name, preset, dev=dev_mode)
    with closing(connect_engine(site)) as client:
        snapshot = _take_snapshot(client, site, preset_name, name, settings, dev_mode)
        holder = next((container for container in snapshot.containers if container.name == name), None)
        if holder is None or holder.site != str(site.root) or not holder.running or snapshot.image is None:
            return None
        description = inspect_container(client, holder.id)
    run_label = (description["Config"].get("Labels") or {}).get(labels.RUN_SHA256)
    same = description["Image"] == snapshot.image["Id"] and run_label == run_sha256(preset, dev=dev_mode)
    return holder if same else None


def launch(
    site: Site,
    preset_name: str,
    preset: Preset,
    *,
    name: str = "",
    replace: bool = False,
    create_folders: bool = False,
    dev: bool | None = None,
) -> Container:
    """Start the preset's container and return its state a second later.

    `replace` allows it to replace a container of that name. The old one keeps running until the new one has been
    created, and runs again if the new one does not start. A replacement that was interrupted earlier is finished first.
    A site without a token for the inference service gets one in its `.env`. `create_folders` creates missing volume
    folders. `dev` overrides the preset's dev mode: the source is mounted at /src, the working folder, and the command
    gets `--reload`; a checkout of this project also replaces the service that is installed in the image.

    Raises LaunchError when a check fails, EngineError when the engine refuses or the container fails at once (it is
    removed, and its last output is in the error), InputError for an env file that cannot be read. Call
    `core.containers.manage.wait_healthy` to wait for its health check.
    """
    name = name or labels.container_name(preset_name)
    dev_mode = preset.run.dev.enabled if dev is None else dev
    settings = read_run_settings(site, preset_name, preset, dev=dev_mode)
    if preset.inference_service and not settings.environment.get(TOKEN_VARIABLE):
        site.append_secret(TOKEN_VARIABLE, secrets.token_urlsafe(32))
        settings = read_run_settings(site, preset_name, preset, dev=dev_mode)
    with closing(connect_engine(site)) as client:
        replacement.finish_interrupted(client, name)
        snapshot = _take_snapshot(client, site, preset_name, name, settings, dev_mode)
        findings = checks.launch_findings(
            preset_name, name, settings, snapshot, replace=replace, create_folders=create_folders
        )
        if has_errors(findings) or snapshot.image is None:
            raise LaunchError(f"Launch of {preset_name}", findings)
        if create_folders and snapshot.local:
            _create_folders(settings, snapshot.image)
        body = _container_body(site, preset_name, preset, settings, snapshot.image, dev_mode)
        body["Image"] = snapshot.image_tag
        # The processes of operations are no children of the service: without an init, they stay zombies when they end.
        body["HostConfig"]["Init"] = snapshot.has_init
        if snapshot.local and (user := container_user(settings, snapshot.image)):
            body["User"] = user
        if settings.gpus:
            body["HostConfig"]["DeviceRequests"] = [device_request(snapshot.gpus, settings.gpus)]
        old = next((container for container in snapshot.containers if container.name == name), None)
        container = _create_and_start(client, name, body, old)
        details = {"container": container.name, "id": container.id, "image": snapshot.image["Id"]}
        audit.record(site, "launch", preset_name, {**details, "replaced": old.id if old else ""})
        return container


def _take_snapshot(
    client: docker.DockerClient, site: Site, preset_name: str, name: str, settings: RunSettings, dev: bool
) -> checks.EngineSnapshot:
    local = resolve_endpoint(site).local
    return checks.take_snapshot(client, preset_name, name, dev=dev, gpus=bool(settings.gpus), local=local)


def _create_folders(settings: RunSettings, image: dict[str, Any] | None) -> None:
    for path in checks.missing_folders(settings):
        try:
            path.mkdir(parents=True)
            chown_to_image_user(path, image)
        except OSError as error:
            raise XaivaError(f"Folder {path}", os_reason(error), "create it by hand") from error


def _container_body(
    site: Site, preset_name: str, preset: Preset, settings: RunSettings, image: dict[str, Any], dev: bool
) -> dict[str, Any]:
    """The API's body for a new container, without its image and GPUs."""
    run = preset.run
    command = run.command or image["Config"].get("Cmd") or []
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in settings.ports:
        inside = f"{port.container_port}/{port.protocol}"
        bindings.setdefault(inside, []).append({"HostIp": port.host_ip, "HostPort": str(port.host_port)})
    body: dict[str, Any] = {
        "Cmd": [*command, "--reload"] if dev else command,
        "Env": [f"{variable}={value}" for variable, value in settings.environment.items()],
        "Labels": {
            labels.PRESET: preset_name,
            labels.SITE: str(site.root),
            labels.RUN_SHA256: run_sha256(preset, dev=dev),
        },
        "ExposedPorts": {inside: {} for inside in bindings},
        "HostConfig": {
            "PortBindings": bindings,
            "Mounts": [_mount_body(mount) for mount in settings.mounts if not mount.options],
            "Binds": [_bind_text(mount) for mount in settings.mounts if mount.options],
            "RestartPolicy": {"Name": run.restart},
            "ShmSize": settings.shm_bytes,  # 0: the engine's own default, 64 MiB
            "Devices": [_device_body(path) for path in run.devices],
            "GroupAdd": sorted({_device_group(path) for path in run.devices}),
            "ReadonlyRootfs": run.read_only,
            "Tmpfs": {"/tmp": ""} if run.read_only else {},
        },
    }
    if dev:
        body["WorkingDir"] = DEV_FOLDER
    if run.health_check is not None or image["Config"].get("Healthcheck"):
        check = _health_check_body(run.health_check) if run.health_check else {}  # the rest is the image's
        body["Healthcheck"] = {**check, "StartInterval": START_INTERVAL}
    return body


def _mount_body(mount: Mount) -> dict[str, Any]:
    """A mount, because the older form (a bind) creates a missing folder, owned by root."""
    kind = "volume" if mount.named else "bind"
    return {"Type": kind, "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}


def _bind_text(mount: Mount) -> str:
    """A bind, the only form with the engine's options (`Z` of SELinux, `rshared`, …).

    A remote engine creates a missing folder on its machine, owned by root.
    """
    options = ("ro" if mount.read_only else "rw", *mount.options)
    return f"{mount.source}:{mount.target}:{','.join(options)}"


def _device_body(path: str) -> dict[str, str]:
    return {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rw"}


def _device_group(path: str) -> str:
    """The group that may use a device, because the service is not root; for a remote device Debian's `video`."""
    try:
        return str(os.stat(path).st_gid)
    except OSError:
        return VIDEO_GROUP


def _health_check_body(check: HealthCheck) -> dict[str, Any]:
    return {
        "Test": ["CMD", *check.command],
        "Interval": int(check.interval * SECOND),
        "Timeout": int(check.timeout * SECOND),
        "StartPeriod": int(check.start_period * SECOND),
        "Retries": check.retries,
    }


def _create_and_start(client: docker.DockerClient, name: str, body: dict[str, Any], old: Container | None) -> Container:
    """Create and start the container. If anything fails, restore `old` with its name and state."""
    what = f"Launch of container {name}"
    if old is not None:
        body["Labels"][labels.REPLACED_STATE] = old.state.word
    created = ""
    api: Any = client.api  # the SDK's types leave the first call out
    try:
        with engine_errors(what):
            if old is not None:
                replacement.rename_container(client, old, replacement.backup_name(name))
            created = api.create_container_from_config(body, name)["Id"]
            if old is not None:
                replacement.stop_replaced(client, old)
            api.start(created)
        watch_start(client, created)
    except BaseException as error:
        rollback_error = replacement.rollback(client, name, created, old)
        if isinstance(error, EngineError):
            explanation = explain_engine_error(error)
            raise EngineError(explanation.what, explanation.why + rollback_error, explanation.remedy) from error
        raise
    if old is not None:
        with engine_errors(f"Removal of the previous container {name}"):
            client.api.remove_container(old.id, force=True)
    return get_container(client, created)
