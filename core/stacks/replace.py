"""Replaces the container of a service, with a way back: the old one is removed only once the new one works.

Compose creates the new container beside the old one, which it leaves alone. Where both can run, the new one starts
first; where they cannot, the old one is stopped first, and started again if the new one fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from core.containers.listing import inspect_container
from core.containers.replacement import STOP_SECONDS
from core.engine import EngineError, engine_errors
from core.errors import XaivaError
from core.progress import Progress
from core.stacks.compose import run_compose
from core.stacks.model import Service, Stack
from core.stacks.observe import PROJECT_LABEL, SERVICE_LABEL
from core.stacks.wait import wait_for_service

if TYPE_CHECKING:
    import docker


def stop_first_reason(service: Service) -> str:
    """Why the old container must stop before the new one starts; empty when both may run for a moment."""
    for port in service.ports:
        if port.host_port:
            return f"both would publish port {port.host_port}"
    if service.resolved.get("network_mode") == "host":
        return "both would use the ports of the host"
    for volume in service.volumes:
        if volume.kind in ("volume", "bind") and not volume.read_only:
            return f"both would write to {volume.source or volume.target}"
    return ""


def service_containers(client: docker.DockerClient, stack: Stack, service: str) -> list[str]:
    """The ids of the containers of a service, oldest first. Raises EngineError."""
    wanted = {"label": [f"{PROJECT_LABEL}={stack.project}", f"{SERVICE_LABEL}={service}"]}
    with engine_errors(f"Containers of {service}"):
        rows = client.api.containers(all=True, filters=wanted)
    return [str(row["Id"]) for row in sorted(rows, key=lambda row: float(row.get("Created") or 0))]


def replace_service(
    client: docker.DockerClient, stack: Stack, service: Service, env: Mapping[str, str], progress: Progress
) -> None:
    """Replace the container of a service by one of its new image and configuration.

    Raises EngineError when the new one does not work; the old one then runs as before.
    """
    old = service_containers(client, stack, service.name)
    # --no-recreate leaves all others alone. Not --no-deps: compose before 2.30 then makes another configuration hash,
    # and would itself replace the container at the next `docker compose up`.
    words = ("--no-start", "--no-recreate", "--no-build", "--pull", "never")
    scale = f"{service.name}={len(old) + 1}"
    run_compose(stack.folder, env, "up", *words, "--scale", scale, service.name, on_line=progress.log)
    new = [identity for identity in service_containers(client, stack, service.name) if identity not in old]
    if len(new) != 1:
        raise EngineError(f"Service {service.name}", "compose created no second container", "see the log")
    stopped: list[str] = []
    try:
        if reason := stop_first_reason(service):
            progress.log(f"the old container is stopped first, because {reason}")
            for identity in old:
                with engine_errors(f"Stop of {service.name}"):
                    if inspect_container(client, identity)["State"].get("Running"):
                        stopped.append(identity)
                        client.api.stop(identity, timeout=STOP_SECONDS)
        with engine_errors(f"Start of {service.name}"):
            client.api.start(new[0])
        wait_for_service(client, service, new[0], progress)
    except BaseException as error:
        _go_back(client, service, new[0], stopped, error)
        raise
    _retire(client, service, old, new[0])


def _go_back(client: docker.DockerClient, service: Service, new: str, stopped: list[str], error: BaseException) -> None:
    """Remove the new container and start those again that were stopped for it; adds to the error what became of it."""
    outcome = "the one before runs as before"
    try:
        with engine_errors(f"Way back of {service.name}"):
            for identity in stopped:
                with suppress(EngineError):
                    client.api.stop(new, timeout=STOP_SECONDS)
                client.api.start(identity)
            client.api.remove_container(new, force=True)
    except EngineError as failure:
        outcome = f"and the one before could not be started again: {failure.why}"
    if isinstance(error, XaivaError):
        error.why = f"{error.why}; {outcome}"


def _retire(client: docker.DockerClient, service: Service, old: list[str], new: str) -> None:
    """Remove the old containers, and give the new one the name of the first."""
    with engine_errors(f"Removal of the previous container of {service.name}"):
        names = [inspect_container(client, identity)["Name"].lstrip("/") for identity in old]
        for identity in old:
            client.api.stop(identity, timeout=STOP_SECONDS)
            client.api.remove_container(identity, force=True)
        if names:
            client.api.rename(new, names[0])
