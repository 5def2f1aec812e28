"""Replaces a container: the old one is kept under another name until the new one runs, also over a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import labels
from core.containers.listing import inspect_container, list_containers
from core.containers.model import Container, ContainerState
from core.engine import EngineError, engine_errors
from core.findings import Finding, Level

if TYPE_CHECKING:
    import docker

STOP_SECONDS = 10  # between SIGTERM and SIGKILL
_BACKUP_SUFFIX = "-before"


def backup_name(name: str) -> str:
    """What the container `name` is called until the one that takes its place runs."""
    return name + _BACKUP_SUFFIX


def is_backup(container: Container) -> bool:
    """Whether a launch has left it under its `backup_name`; one of a preset `…-before` has such a name by right."""
    by_right = container.name == labels.container_name(container.preset)
    return container.managed and container.name.endswith(_BACKUP_SUFFIX) and not by_right


def is_reserved_name(name: str, preset_name: str) -> bool:
    """Whether nobody may launch a container of the preset as `name`: it would look as if it had been set aside."""
    return name.endswith(_BACKUP_SUFFIX) and name != labels.container_name(preset_name)


def finish_interrupted(client: docker.DockerClient, name: str) -> None:
    """Put right what a launch of `name` that was cut off has left. Raises EngineError.

    A new one that was never started goes; the old one gets its name back, and runs again if it did before. One that
    was started has taken the place already, so that the old one goes. Nothing is done about one in a state that is not
    known.
    """
    managed = {container.name: container for container in list_containers(client) if container.managed}
    old, new = managed.get(backup_name(name)), managed.get(name)
    if old is None or not is_backup(old) or (new is not None and not new.state.is_known):
        return
    with engine_errors(f"Clean-up after the interrupted launch of {name}"):
        if new is not None and new.state is not ContainerState.CREATED:
            client.api.remove_container(old.id, force=True)
            return
        if new is not None:
            container_labels = inspect_container(client, new.id)["Config"].get("Labels") or {}
            stop_replaced(client, old)  # the launch had asked for that, and the engine may still be at it
            _restore_state(
                client, old.id, ContainerState(container_labels.get(labels.REPLACED_STATE))
            )  # first: the label goes with the new one
            client.api.remove_container(new.id)
        client.api.rename(old.id, name)


def stop_replaced(client: docker.DockerClient, old: Container) -> None:
    """Stop the container that is to be replaced, in whatever way it runs: only then are its ports and GPUs free."""
    if not old.running:
        return
    if old.state is ContainerState.PAUSED:
        client.api.unpause(old.id)  # a paused one cannot end by itself
    client.api.stop(old.id, timeout=STOP_SECONDS)


def rename_container(client: docker.DockerClient, old: Container, name: str) -> None:
    """Give the container another name, if it has not got it; one that just ends or restarts is stopped for that."""
    import docker.errors

    if inspect_container(client, old.id)["Name"].lstrip("/") == name:
        return
    try:
        client.api.rename(old.id, name)
    except docker.errors.APIError:
        stop_replaced(client, old)
        client.api.rename(old.id, name)


def rollback(client: docker.DockerClient, name: str, created_id: str, old: Container | None) -> str:
    """After a failed launch: remove the new container's id `created` ("" for none), and have `old` as it was.

    Returns what to add to the launch's own failure when that fails, too; "" when all is well.
    """
    try:
        with engine_errors(f"Clean-up after the failed launch of {name}"):
            if created_id:
                client.api.remove_container(created_id, force=True)
            if old is not None:
                rename_container(client, old, name)
                _restore_state(client, old.id, old.state)
    except EngineError as error:
        return f"; and the previous container could not be restored: {error.why} (see: xaiva ps)"
    return ""


def _restore_state(client: docker.DockerClient, identity: str, state: ContainerState) -> None:
    """Start a container that was stopped to be replaced, as far as it ran before."""
    if state not in (ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING):
        return
    if not inspect_container(client, identity)["State"].get("Paused"):
        client.api.start(identity)  # of one that runs nothing changes
        if state is ContainerState.PAUSED:
            client.api.pause(identity)


def orphan_finding(container: Container) -> Finding | None:
    """Says that a container was set aside by a launch that was cut off, and what to do about it."""
    if not is_backup(container):
        return None
    name = container.name.removesuffix(_BACKUP_SUFFIX)
    named = "" if name == labels.container_name(container.preset) else f" --name {name}"
    return Finding(
        level=Level.WARNING,
        code="set-aside",
        what=f"Container {container.name}",
        why=f"a launch that was replacing {name} was interrupted and left this container behind",
        remedy=f"launch again to finish the replacement: xaiva launch {container.preset}{named} --replace",
        where=container.image,
    )
