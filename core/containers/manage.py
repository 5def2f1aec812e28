"""Stops, starts, restarts and removes containers, waits until one is healthy, and explains one that is not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from core.containers.container_logs import last_log_lines
from core.containers.engine_error_table import explain_engine_error
from core.containers.listing import inspect_container, parse_container
from core.containers.model import Container, ContainerHealth, ContainerState
from core.containers.replacement import STOP_SECONDS, orphan_finding
from core.engine import EngineError, engine_errors
from core.findings import Finding, Level

if TYPE_CHECKING:
    import docker

_POLL_SECONDS = 0.1
_MORE_MEMORY = "give it more memory, or use a smaller model or batch; to see what containers use: xaiva stats"
_START_WATCH_SECONDS = 1.0  # a container with a wrong configuration usually ends at once
_LOG_TAIL_LINES = 20  # enough for a Python traceback and what led to it
# Exit codes with a general meaning: those of POSIX shells, and 128 + signal.
_EXIT_CODES = {
    126: "the command cannot be executed",
    127: "the command does not exist in the image",
    134: "it aborted (SIGABRT)",
    137: "it was killed (SIGKILL)",
    139: "it crashed (segmentation fault)",
    143: "it was stopped (SIGTERM)",
}


def start_container(client: docker.DockerClient, reference: str) -> None:
    """Start a stopped container. Raises EngineError."""
    identity = inspect_container(client, reference)["Id"]
    try:
        with engine_errors(f"Start of container {reference}"):
            client.api.start(identity)
    except EngineError as error:
        raise explain_engine_error(error) from error


def stop_container(client: docker.DockerClient, reference: str, seconds: int = STOP_SECONDS) -> None:
    """Stop a container: SIGTERM, and SIGKILL after `seconds`. Raises EngineError."""
    identity = inspect_container(client, reference)["Id"]
    with engine_errors(f"Stop of container {reference}"):
        client.api.stop(identity, timeout=seconds)


def restart_container(client: docker.DockerClient, reference: str, seconds: int = STOP_SECONDS) -> None:
    """Stop and start a container. Raises EngineError."""
    identity = inspect_container(client, reference)["Id"]
    try:
        with engine_errors(f"Restart of container {reference}"):
            client.api.restart(identity, timeout=seconds)
    except EngineError as error:
        raise explain_engine_error(error) from error


def remove_container(client: docker.DockerClient, reference: str, *, force: bool = False) -> None:
    """Remove a container, a running one only with `force`. Its volumes stay. Raises EngineError."""
    data = inspect_container(client, reference)
    what = f"Removal of container {reference}"
    if (data.get("State") or {}).get("Running") and not force:
        raise EngineError(what, "it is running", f"stop it first: xaiva stop {reference}")
    with engine_errors(what):
        client.api.remove_container(data["Id"], force=force)


def wait_healthy(
    client: docker.DockerClient,
    reference: str,
    *,
    timeout: float = 120,
) -> Container:
    """Wait until the container runs and, if it has a health check, is healthy.

    Raises EngineError with the reason when it ends, becomes unhealthy or takes longer than `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        container = parse_container(inspect_container(client, reference))
        if _is_healthy(container):
            return container
        late = time.monotonic() > deadline
        if late or container.health is ContainerHealth.UNHEALTHY or _has_ended(container):
            raise _unhealthy_error(client, container, f"it did not become healthy within {timeout:g} s" if late else "")
        time.sleep(_POLL_SECONDS)


def watch_start(client: docker.DockerClient, reference: str) -> None:
    """Watch a container right after its start. Raises EngineError with its last output when it fails."""
    deadline = time.monotonic() + _START_WATCH_SECONDS
    while time.monotonic() < deadline:
        data = inspect_container(client, reference)
        if data.get("RestartCount") or _has_ended(parse_container(data)):
            if findings := diagnose(client, reference):
                raise EngineError(findings[0].what, findings[0].why, "fix that, and launch again")
            return
        time.sleep(_POLL_SECONDS)


def diagnose(client: docker.DockerClient, reference: str) -> list[Finding]:
    """What is wrong with a container: out of memory, unhealthy, failed, restarted, left by an interrupted launch.

    Raises EngineError.
    """
    data = inspect_container(client, reference)
    container = parse_container(data)
    findings: list[Finding] = [finding for finding in [orphan_finding(container)] if finding]
    if container.unreadable or not container.state.is_known or not container.health.is_known:
        findings.append(_unknown_finding(container))
    if container.oom_killed:
        findings.append(_finding(container, "oom", "the kernel killed it: it ran out of memory", _MORE_MEMORY))
    elif container.running and data["State"].get("OOMKilled"):
        why = "the kernel killed a process in it, because memory ran out; the container runs on"
        findings.append(_finding(container, "oom", why, _MORE_MEMORY, Level.WARNING))
    if container.health is ContainerHealth.UNHEALTHY:
        why = f"unhealthy; its last health check said: {container.health_output or 'nothing'}"
        remedy = f"xaiva logs {container.name}; then fix it, or run.health_check of the preset"
        findings.append(_finding(container, "unhealthy", why, remedy))
    if container.exit_code and not container.oom_killed:
        why = f"it ended with code {container.exit_code}{_exit_code_meaning(container.exit_code)}"
        findings.append(_finding(container, "exited", why + _log_tail(client, container), _log_command(container)))
    elif restarts := data.get("RestartCount"):
        ended = data["State"].get("FinishedAt") or "" if container.state is ContainerState.RUNNING else ""
        why = f"it ended and was restarted ({restarts}x){_log_tail(client, container, ended)}"
        findings.append(_finding(container, "restarted", why, _log_command(container), Level.WARNING))
    return findings


def _finding(container: Container, code: str, why: str, remedy: str, level: Level = Level.ERROR) -> Finding:
    what = f"Container {container.name}"
    return Finding(level=level, code=code, what=what, why=why, remedy=remedy, where=container.image)


def _unknown_finding(container: Container) -> Finding:
    """The finding for a state or health that this xaiva does not know, which may or may not be an error."""
    words = [
        "" if container.state.is_known else f"its state is {container.state.word!r}",
        "" if container.health.is_known else f"its health is {container.health.word!r}",
        container.unreadable,
    ]
    why = (
        f"this xaiva does not understand what the engine reports about it: {'; '.join(word for word in words if word)}"
    )
    remedy = f"see: xaiva inspect {container.name}"
    return _finding(container, "container-unknown", why, remedy, Level.WARNING)


def _exit_code_meaning(exit_code: int) -> str:
    return f": {_EXIT_CODES[exit_code]}" if exit_code in _EXIT_CODES else ""


def _log_tail(client: docker.DockerClient, container: Container, ended: str = "") -> str:
    words = last_log_lines(client, container.id, _LOG_TAIL_LINES, ended)
    return f"; its last output:\n{words}" if words else ""


def _log_command(container: Container) -> str:
    return f"xaiva logs {container.name}"


def _has_ended(container: Container) -> bool:
    return container.state.ended or container.state is ContainerState.RESTARTING


def _is_healthy(container: Container) -> bool:
    fine = container.state is ContainerState.RUNNING and container.health in (
        ContainerHealth.NONE,
        ContainerHealth.HEALTHY,
    )
    return fine and not container.unreadable


def _unhealthy_error(client: docker.DockerClient, container: Container, timeout_text: str) -> EngineError:
    findings = diagnose(client, container.id)
    if findings:
        return EngineError(findings[0].what, findings[0].why, findings[0].remedy)
    why = timeout_text or f"it ended ({container.status})"
    if container.health_output:
        why += f"; its last health check said: {container.health_output}"
    return EngineError(f"Container {container.name}", why, _log_command(container))
