"""All containers of an engine, from one cheap call; those of xaiva are marked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from core import labels
from core.containers.model import Container, Health, Port, State
from core.engine import EngineError, engine_errors

if TYPE_CHECKING:
    import docker

_EXITED = re.compile(r"^(?:Exited|Restarting) \((\d+)\)")
_HEALTH_IN_STATUS = {
    "(healthy)": Health.HEALTHY,
    "(unhealthy)": Health.UNHEALTHY,
    "(health: starting)": Health.STARTING,
}
KILLED = 137  # 128 + SIGKILL: what the kernel's out-of-memory killer leaves behind


def list_containers(client: docker.DockerClient) -> list[Container]:
    """All containers, running or not: ours first, then by name. Raises EngineError."""
    with engine_errors("List of containers"):
        rows: list[dict[str, Any]] = client.api.containers(all=True)
    found = [_with_details(client, _from_row(row)) for row in rows]
    return sorted(found, key=lambda one: (not one.ours, one.name))


def get(client: docker.DockerClient, reference: str) -> Container:
    """One container by name or id, with health output and whether it ran out of memory. Raises EngineError."""
    return from_inspect(inspect(client, reference))


def inspect(client: docker.DockerClient, reference: str) -> dict[str, Any]:
    """All the engine knows of a container, as its API says it. Raises EngineError."""
    import docker.errors

    what = f"Container {reference}"
    with engine_errors(what):
        try:
            data: dict[str, Any] = client.api.inspect_container(reference)
        except docker.errors.NotFound as error:
            raise EngineError(what, "there is no such container", "list them with: xaiva ps") from error
    return data


def from_inspect(data: dict[str, Any]) -> Container:
    """A container from the engine's full description."""
    state = data["State"]
    health = state.get("Health") or {}
    config = data["Config"]
    running = state["Status"] in (State.RUNNING.value, State.PAUSED.value)
    return Container(
        id=data["Id"],
        name=data["Name"].lstrip("/"),
        image=config["Image"],
        image_id=data["Image"],
        state=State(state["Status"]),
        status=state.get("Error") or state["Status"],
        # of one that has ended the engine says "unhealthy", whatever it was
        health=Health(health.get("Status") or "none") if running else Health.NONE,
        health_output=last_health_output(health),
        ports=_inspected_ports(data["NetworkSettings"].get("Ports") or {}),
        created=_unix_time(data["Created"]),
        **_marks(config.get("Labels") or {}),
        exit_code=None if running or state["Status"] == State.CREATED.value else int(state["ExitCode"]),
        oom_killed=bool(state.get("OOMKilled")),
    )


def last_health_output(health: dict[str, Any]) -> str:
    """The last health check's words; the engine keeps the newest five."""
    entries = health.get("Log") or []
    return str(entries[-1].get("Output") or "").strip() if entries else ""


def _from_row(row: dict[str, Any]) -> Container:
    status = str(row.get("Status") or "")
    exited = _EXITED.match(status)
    state = State(row["State"])
    return Container(
        id=row["Id"],
        name=row["Names"][0].lstrip("/") if row.get("Names") else row["Id"][:12],
        image=row["Image"],
        image_id=row["ImageID"],
        state=state,
        status=status,
        health=next((health for mark, health in _HEALTH_IN_STATUS.items() if mark in status), Health.NONE),
        ports=sorted({_listed_port(port) for port in row.get("Ports") or []}, key=str),
        created=float(row["Created"]),
        **_marks(row.get("Labels") or {}),
        exit_code=int(exited.group(1)) if exited else None,
    )


def _with_details(client: docker.DockerClient, container: Container) -> Container:
    """Health output and the mark of the out-of-memory killer are not in the list: ask for those that are unwell."""
    if container.health is not Health.UNHEALTHY and container.exit_code != KILLED:
        return container
    try:
        details = get(client, container.id)
    except EngineError:
        return container  # it went away meanwhile
    return container.model_copy(
        update={"health_output": details.health_output, "oom_killed": details.oom_killed},
    )


def _marks(container_labels: dict[str, str]) -> dict[str, str]:
    """An image carries the preset's label, too: only a container that was launched has the site's."""
    site = container_labels.get(labels.SITE, "")
    return {"preset": container_labels.get(labels.PRESET, "") if site else "", "site": site}


def _listed_port(port: dict[str, Any]) -> Port:
    return Port(
        container_port=port["PrivatePort"],
        protocol=port.get("Type", "tcp"),
        host_ip=port.get("IP", ""),
        host_port=port.get("PublicPort", 0),
    )


def _inspected_ports(ports: dict[str, list[dict[str, str]] | None]) -> list[Port]:
    found: list[Port] = []
    for name, bindings in ports.items():
        number, _, protocol = name.partition("/")
        inside = Port(container_port=int(number), protocol=protocol or "tcp")
        if not bindings:
            found.append(inside)
        for binding in bindings or []:
            update = {"host_ip": binding.get("HostIp", ""), "host_port": int(binding.get("HostPort") or 0)}
            found.append(inside.model_copy(update=update))
    return sorted(found, key=str)


def _unix_time(text: str) -> float:
    """Unix seconds of the engine's RFC 3339 time, which has up to nine digits where Python 3.10 reads six."""
    from datetime import datetime

    shortened = re.sub(r"\.(\d{6})\d*", r".\1", text).replace("Z", "+00:00")
    shortened = re.sub(r"\.(\d{1,5})(?=[+-])", lambda match: f".{match.group(1):0<6}", shortened)
    return datetime.fromisoformat(shortened).timestamp()
