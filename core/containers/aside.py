"""Replaces a container: the old one is kept under another name until the new one runs, also over a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.containers.listing import list_containers
from core.containers.model import Container, State
from core.engine import EngineError, engine_errors
from core.findings import Finding, Level

if TYPE_CHECKING:
    import docker

_SUFFIX = "-before"


def name_of(name: str) -> str:
    """What the container `name` is called until the one that takes its place runs."""
    return name + _SUFFIX


def recover(client: docker.DockerClient, name: str) -> None:
    """Put right what a launch of `name` that was cut off has left. Raises EngineError.

    A new one that was never started goes, and the old one gets its name back; one that was started has taken the place
    already, so that the old one goes. Nothing is done about one in a state that is not known.
    """
    ours = {one.name: one for one in list_containers(client) if one.ours}
    old, new = ours.get(name_of(name)), ours.get(name)
    if old is None or (new is not None and not new.state.known):
        return
    with engine_errors(f"Clean-up after the launch of {name} that was cut off"):
        if new is not None and new.state is not State.CREATED:
            client.api.remove_container(old.id, force=True)
            return
        if new is not None:
            client.api.remove_container(new.id)
        client.api.rename(old.id, name)


def put_back(client: docker.DockerClient, name: str, created: str, old: str) -> None:
    """After a failed launch: remove the new container's id `created`, and give `old` its name back; "" for none."""
    try:
        with engine_errors(f"Clean-up after the failed launch of {name}"):
            if created:
                client.api.remove_container(created, force=True)
            if old:
                client.api.rename(old, name)
    except EngineError:
        pass  # the launch's own failure is what the reader needs


def leftover(container: Container) -> Finding | None:
    """Says that a container was set aside by a launch that was cut off, and what to do about it."""
    if not container.ours or not container.name.endswith(_SUFFIX):
        return None
    name = container.name.removesuffix(_SUFFIX)
    named = "" if name == f"xaiva-{container.preset}" else f" --name {name}"
    return Finding(
        level=Level.WARNING,
        code="set-aside",
        what=f"Container {container.name}",
        why=f"a launch that was to replace {name} was cut off and has left it aside",
        remedy=f"launch again, which puts it right: xaiva launch {container.preset}{named} --replace",
        where=container.image,
    )
