"""Waits until a service works, and says why it does not."""

from __future__ import annotations

import http.client
import socket
import time
from typing import TYPE_CHECKING, Any

from core.containers.listing import inspect_container, parse_container
from core.containers.manage import diagnose
from core.containers.model import Container, ContainerHealth, ContainerState
from core.engine import EngineError
from core.progress import Progress, stop_if_cancelled
from core.stacks.model import HealthProbe, Service

if TYPE_CHECKING:
    import docker

SETTLED_SECONDS = 2.0  # a service without any check counts as started when it has run so long
PROBE_SECONDS = 120.0  # that a probe from outside is tried
_POLL_SECONDS = 0.1
_ATTEMPT_SECONDS = 3.0


def wait_for_service(
    client: docker.DockerClient, service: Service, identity: str, progress: Progress, *, completes: bool = False
) -> Container:
    """Wait until a container of the service works: its health check passes, else its probe, else it keeps running.

    With `completes`, wait until it has ended well. The engine decides about a health check, by the settings of the
    check. Raises EngineError with the reason and the last words of the container, Cancelled.
    """
    started = time.monotonic()
    restarts: int | None = None  # those before are none of this start
    while True:
        stop_if_cancelled(progress)
        data = inspect_container(client, identity)
        container = parse_container(data)
        restarts = int(data.get("RestartCount") or 0) if restarts is None else restarts
        if container.state.ended and container.exit_code == 0 and (completes or _may_end(data)):
            return container
        restarted = container.state is ContainerState.RESTARTING or int(data.get("RestartCount") or 0) > restarts
        if container.state.ended or restarted:
            raise _failure(client, service, container, "it ended")
        if container.health is ContainerHealth.UNHEALTHY:
            raise _failure(client, service, container, "its health check failed")
        if completes:
            time.sleep(_POLL_SECONDS)
            continue
        if container.state is ContainerState.RUNNING and _works(service, data, container, started):
            return container
        if container.health is ContainerHealth.NONE and time.monotonic() - started > PROBE_SECONDS:
            raise _failure(client, service, container, f"its probe did not succeed within {PROBE_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)


def _may_end(data: dict[str, Any]) -> bool:
    """Whether the engine leaves it ended when its program has done its work."""
    policy = ((data.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no"
    return policy in ("no", "on-failure")


def _works(service: Service, data: dict[str, Any], container: Container, started: float) -> bool:
    if container.health is ContainerHealth.HEALTHY:
        return True
    if container.health is not ContainerHealth.NONE:
        return False
    if service.extension.health is not None:
        return _probe(service.extension.health, data)
    return time.monotonic() - started > SETTLED_SECONDS


def _probe(probe: HealthProbe, data: dict[str, Any]) -> bool:
    """Whether the service answers at the address of its container, or at a port that is published for it."""
    settings = data.get("NetworkSettings") or {}
    bindings = (settings.get("Ports") or {}).get(f"{probe.port}/tcp") or []
    addresses = [("127.0.0.1", int(binding["HostPort"])) for binding in bindings if binding.get("HostPort")]
    networks = (settings.get("Networks") or {}).values()
    addresses += [(network["IPAddress"], probe.port) for network in networks if network.get("IPAddress")]
    return any(_answers(host, port, probe.path) for host, port in addresses)


def _answers(host: str, port: int, path: str) -> bool:
    try:
        if not path:
            socket.create_connection((host, port), _ATTEMPT_SECONDS).close()
            return True
        connection = http.client.HTTPConnection(host, port, timeout=_ATTEMPT_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 400
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False


def _failure(client: docker.DockerClient, service: Service, container: Container, why: str) -> EngineError:
    findings = diagnose(client, container.id)
    if findings:
        return EngineError(f"Service {service.name}", findings[0].why, findings[0].remedy)
    return EngineError(f"Service {service.name}", f"{why} ({container.status})", f"xaiva logs {container.name}")
