"""Replaces a container: keeps the old one under another name until the new one runs, even if xaiva is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import labels
from core.containers.listing import inspect_container, list_containers
from core.containers.model import Container, ContainerState
from core.engine import EngineError, engine_errors
from core.findings import Finding

if TYPE_CHECKING:
    import docker

STOP_SECONDS = 10  # between SIGTERM and SIGKILL
_BACKUP_SUFFIX = "-before"


def backup_name(name: str) -> str:
    """The name of the container `name` while its replacement starts."""
    return name + _BACKUP_SUFFIX


def is_backup(container: Container) -> bool:
    """Whether an interrupted launch left it under its `backup_name`. A preset may itself be named `…-before`."""
    by_right = container.name == labels.container_name(container.preset)
    return container.managed and container.name.endswith(_BACKUP_SUFFIX) and not by_right


def is_reserved_name(name: str, preset_name: str) -> bool:
    """Whether `name` looks like a `backup_name`, so that no container of the preset may have it."""
    return name.endswith(_BACKUP_SUFFIX) and name != labels.container_name(preset_name)


def finish_interrupted(client: docker.DockerClient, name: str) -> None:
    """Finish or undo an interrupted replacement of the container `name`. Raises EngineError.

    If the new container was never started, it is removed, and the old one gets its name back and runs again if it did
    before. If it was started, the old one is removed. Nothing is done if the state of the new one is unknown.
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
            stop_replaced(client, old)  # the launch requested this, and the engine may not have finished
            # before the new container is removed, because its label has the state
            _restore_state(client, old.id, ContainerState(container_labels.get(labels.REPLACED_STATE)))
            client.api.remove_container(new.id)
        client.api.rename(old.id, name)


def stop_replaced(client: docker.DockerClient, old: Container) -> None:
    """Stop the container to be replaced, in whatever state it is, to free its ports and GPUs."""
    if not old.running:
        return
    if old.state is ContainerState.PAUSED:
        client.api.unpause(old.id)  # a paused container cannot react to SIGTERM
    client.api.stop(old.id, timeout=STOP_SECONDS)


def rename_container(client: docker.DockerClient, old: Container, name: str) -> None:
    """Rename the container unless it has that name; stop it first when it is ending or restarting."""
    import docker.errors

    if inspect_container(client, old.id)["Name"].lstrip("/") == name:
        return
    try:
        client.api.rename(old.id, name)
    except docker.errors.APIError:
        stop_replaced(client, old)
        client.api.rename(old.id, name)


def rollback(client: docker.DockerClient, name: str, created_id: str, old: Container | None) -> str:
    """Undo a failed launch: remove the new container (`created_id` is empty for none) and restore `old`.

    Returns what to add to the error of the launch when this fails too; empty when it succeeds.
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
    """Start a container that was stopped for its replacement, if `state` says that it ran before."""
    if state not in (ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING):
        return
    if not inspect_container(client, identity)["State"].get("Paused"):
        client.api.start(identity)  # has no effect on a running container
        if state is ContainerState.PAUSED:
            client.api.pause(identity)


def orphan_finding(container: Container) -> Finding | None:
    """The finding for a container that an interrupted replacement left behind; None for other containers."""
    if not is_backup(container):
        return None
    name = container.name.removesuffix(_BACKUP_SUFFIX)
    named = "" if name == labels.container_name(container.preset) else f" --name {name}"
    return Finding.warning(
        code="set-aside",
        what=f"Container {container.name}",
        why=f"a launch that was replacing {name} was interrupted and left this container behind",
        remedy=f"launch again to finish the replacement: xaiva launch {container.preset}{named} --replace",
        where=container.image,
    )
