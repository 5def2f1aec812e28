"""Lists and inspects the containers of an engine, and marks those that xaiva launched."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core import labels
from core.containers.model import Container, ContainerHealth, ContainerPort, ContainerState
from core.engine import EngineError, engine_errors
from core.natural_order import natural_key
from core.open_enum import describe_misfit
from core.redaction import redact_document, redact_text, secrets_of

if TYPE_CHECKING:
    import docker

_EXITED = re.compile(r"^(?:Exited|Restarting) \((\d+)\)")
_HEALTH_IN_STATUS = re.compile(r"^Up .*\((?:health: )?(?!Paused)([^()]+)\)$")
SIGKILL_EXIT_CODE = 137  # 128 + SIGKILL: also after the kernel's out-of-memory killer


def list_containers(client: docker.DockerClient) -> list[Container]:
    """All containers, running or not: those of xaiva first, then by name. Raises EngineError."""
    with engine_errors("List of containers"):
        rows: list[dict[str, Any]] = client.api.containers(all=True)
    containers = [_add_details(client, _parse_safely(row, _parse_row)) for row in rows]
    return sorted(containers, key=lambda container: (not container.managed, natural_key(container.name)))


def get_container(client: docker.DockerClient, reference: str) -> Container:
    """One container by name or id, with its health output and whether it ran out of memory. Raises EngineError."""
    return parse_container(inspect_container(client, reference))


def inspect_container(client: docker.DockerClient, reference: str) -> dict[str, Any]:
    """The engine's full description of a container, as its API returns it. Raises EngineError."""
    import docker.errors

    what = f"Container {reference}"
    with engine_errors(what):
        try:
            data: dict[str, Any] = client.api.inspect_container(reference)
        except docker.errors.NotFound as error:
            raise EngineError(what, "there is no such container", "list them with: xaiva ps") from error
    return data


def redacted_description(client: docker.DockerClient, reference: str) -> dict[str, Any]:
    """`inspect_container` with the secrets in variables, labels, command lines and messages hidden."""
    redacted: dict[str, Any] = redact_document(inspect_container(client, reference))
    return redacted


def parse_container(data: dict[str, Any]) -> Container:
    """A container from the engine's full description."""
    return _parse_safely(data, _parse_description)


def _parse_description(data: dict[str, Any]) -> Container:
    state_fields = data.get("State") or {}
    state = ContainerState(state_fields.get("Status"))
    health = state_fields.get("Health") or {}
    config = data.get("Config") or {}
    secrets = secrets_of(config)
    running = state in (ContainerState.RUNNING, ContainerState.PAUSED)
    code = state_fields.get("ExitCode")
    exit_code = int(code) if code is not None and (state.ended or state is ContainerState.RESTARTING) else None
    return Container(
        id=data["Id"],
        name=(data.get("Name") or data["Id"][:12]).lstrip("/"),
        image=config.get("Image") or "",
        image_id=data.get("Image") or "",
        state=state,
        status=redact_text(state_fields.get("Error") or "", secrets) or state.word,
        # the engine reports "unhealthy" for any container that has ended
        health=ContainerHealth(health.get("Status") or "none") if running else ContainerHealth.NONE,
        health_output=redact_text(last_health_output(health), secrets),
        ports=_parse_ports((data.get("NetworkSettings") or {}).get("Ports") or {}),
        created=unix_time(data["Created"]) if data.get("Created") else 0,
        **_label_fields(config.get("Labels") or {}),
        exit_code=exit_code,
        # the engine reports it also for a container that lost another process than its first
        oom_killed=bool(state_fields.get("OOMKilled")) and exit_code == SIGKILL_EXIT_CODE,
    )


def last_health_output(health: dict[str, Any]) -> str:
    """The output of the last health check."""
    entries = health.get("Log") or []
    return str(entries[-1].get("Output") or "").strip() if entries else ""


def _parse_safely(data: Any, read: Callable[[dict[str, Any]], Container]) -> Container:
    """The parsed container; one that cannot be parsed has the reason in `unreadable`."""
    try:
        return read(data)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        fields = data if isinstance(data, dict) else {}
        identity = str(fields.get("Id") or "")
        names = fields.get("Names") or fields.get("Name") or identity[:12]
        name = str(names[0] if isinstance(names, list) else names).lstrip("/") or "(no name)"
        state, config = fields.get("State"), fields.get("Config")
        container_labels = config.get("Labels") if isinstance(config, dict) else fields.get("Labels")
        return Container(
            id=identity,
            name=name,
            image=str(fields.get("Image") or ""),
            image_id="",
            state=ContainerState(state.get("Status") if isinstance(state, dict) else state),
            status="the engine's description of it cannot be read",
            **_label_fields(container_labels if isinstance(container_labels, dict) else {}),
            unreadable=describe_misfit(error),
        )


def _parse_row(row: dict[str, Any]) -> Container:
    status = str(row.get("Status") or "")
    exited = _EXITED.match(status)
    return Container(
        id=row["Id"],
        name=row["Names"][0].lstrip("/") if row.get("Names") else row["Id"][:12],
        image=row.get("Image") or "",
        image_id=row.get("ImageID") or "",
        state=ContainerState(row.get("State")),
        status=status,
        health=_parse_listed_health(row, status),
        ports=sorted({_parse_listed_port(port) for port in row.get("Ports") or []}, key=str),
        created=float(row.get("Created") or 0),
        **_label_fields(row.get("Labels") or {}),
        exit_code=int(exited.group(1)) if exited else None,
    )


def _parse_listed_health(row: dict[str, Any], status: str) -> ContainerHealth:
    """The health in a list: a field of newer engines; older ones have it only at the end of the status text."""
    field = row.get("Health")
    if isinstance(field, dict) and field.get("Status"):
        return ContainerHealth(field["Status"])
    match = _HEALTH_IN_STATUS.search(status)
    return ContainerHealth(match.group(1)) if match else ContainerHealth.NONE


def _add_details(client: docker.DockerClient, container: Container) -> Container:
    """Add health output and `oom_killed`, which the list lacks, to a container that is unhealthy or was killed."""
    if container.health is not ContainerHealth.UNHEALTHY and container.exit_code != SIGKILL_EXIT_CODE:
        return container
    try:
        details = get_container(client, container.id)
    except EngineError:
        return container  # it was removed in the meantime
    return container.model_copy(
        update={"health_output": details.health_output, "oom_killed": details.oom_killed},
    )


def _label_fields(container_labels: dict[str, str]) -> dict[str, str]:
    """What the labels say. Images have the preset's label too, but only launched containers have a site."""
    site = container_labels.get(labels.SITE, "")
    return {
        "preset": container_labels.get(labels.PRESET, "") if site else "",
        "site": site,
        "project": container_labels.get(labels.COMPOSE_PROJECT, ""),
        "service": container_labels.get(labels.COMPOSE_SERVICE, ""),
        "config_hash": container_labels.get(labels.COMPOSE_HASH, ""),
    }


def _parse_listed_port(port: dict[str, Any]) -> ContainerPort:
    return ContainerPort(
        container_port=port["PrivatePort"],
        protocol=port.get("Type") or "tcp",
        host_ip=port.get("IP") or "",
        host_port=port.get("PublicPort") or 0,
    )


def _parse_ports(ports: dict[str, list[dict[str, str]] | None]) -> list[ContainerPort]:
    container_ports: list[ContainerPort] = []
    for name, bindings in ports.items():
        number, _, protocol = name.partition("/")
        inside = ContainerPort(container_port=int(number), protocol=protocol or "tcp")
        if not bindings:
            container_ports.append(inside)
        for binding in bindings or []:
            update = {"host_ip": binding.get("HostIp") or "", "host_port": int(binding.get("HostPort") or 0)}
            container_ports.append(inside.model_copy(update=update))
    return sorted(container_ports, key=str)


def bound_ports(data: dict[str, Any]) -> list[ContainerPort]:
    """The published ports in the container's configuration, known even while it restarts."""
    bindings = _parse_ports((data.get("HostConfig") or {}).get("PortBindings") or {})
    return [port for port in bindings if port.host_port]


def unix_time(text: str) -> float:
    """Unix time of the engine's RFC 3339 text, which has up to nine decimals; Python 3.10 accepts only six."""
    from datetime import datetime

    shortened = re.sub(r"\.(\d{6})\d*", r".\1", text).replace("Z", "+00:00")
    shortened = re.sub(r"\.(\d{1,5})(?=[+-])", lambda match: f".{match.group(1):0<6}", shortened)
    return datetime.fromisoformat(shortened).timestamp()
