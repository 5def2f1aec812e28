"""Replaces a container: the old one is kept under another name until the new one runs, also over a kill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import labels
from core.containers.listing import inspect, list_containers
from core.containers.model import Container, State
from core.engine import EngineError, engine_errors
from core.findings import Finding, Level

if TYPE_CHECKING:
    import docker

STOP_SECONDS = 10  # between SIGTERM and SIGKILL
_SUFFIX = "-before"


def name_of(name: str) -> str:
    """What the container `name` is called until the one that takes its place runs."""
    return name + _SUFFIX


def is_set_aside(container: Container) -> bool:
    """Whether a launch has left it under the name of `name_of`; one of a preset `…-before` has such a name by right."""
    by_right = container.name == labels.container_name(container.preset)
    return container.ours and container.name.endswith(_SUFFIX) and not by_right


def is_kept_name(name: str, preset_name: str) -> bool:
    """Whether nobody may launch a container of the preset as `name`: it would look as if it had been set aside."""
    return name.endswith(_SUFFIX) and name != labels.container_name(preset_name)


def recover(client: docker.DockerClient, name: str) -> None:
    """Put right what a launch of `name` that was cut off has left. Raises EngineError.

    A new one that was never started goes; the old one gets its name back, and runs again if it did before. One that
    was started has taken the place already, so that the old one goes. Nothing is done about one in a state that is not
    known.
    """
    ours = {one.name: one for one in list_containers(client) if one.ours}
    old, new = ours.get(name_of(name)), ours.get(name)
    if old is None or not is_set_aside(old) or (new is not None and not new.state.is_known):
        return
    with engine_errors(f"Clean-up after the launch of {name} that was cut off"):
        if new is not None and new.state is not State.CREATED:
            client.api.remove_container(old.id, force=True)
            return
        if new is not None:
            found = inspect(client, new.id)["Config"].get("Labels") or {}
            stop(client, old)  # the launch had asked for that, and the engine may still be at it
            _run_again(client, old.id, State(found.get(labels.BEFORE)))  # first: the label goes with the new one
            client.api.remove_container(new.id)
        client.api.rename(old.id, name)


def stop(client: docker.DockerClient, old: Container) -> None:
    """Stop the container that is to be replaced, in whatever way it runs: only then are its ports and GPUs free."""
    if not old.running:
        return
    if old.state is State.PAUSED:
        client.api.unpause(old.id)  # a paused one cannot end by itself
    client.api.stop(old.id, timeout=STOP_SECONDS)


def rename(client: docker.DockerClient, old: Container, name: str) -> None:
    """Give the container another name, if it has not got it; one that just ends or restarts is stopped for that."""
    import docker.errors

    if inspect(client, old.id)["Name"].lstrip("/") == name:
        return
    try:
        client.api.rename(old.id, name)
    except docker.errors.APIError:
        stop(client, old)
        client.api.rename(old.id, name)


def put_back(client: docker.DockerClient, name: str, created: str, old: Container | None) -> str:
    """After a failed launch: remove the new container's id `created` ("" for none), and have `old` as it was.

    Returns what to add to the launch's own failure when that fails, too; "" when all is well.
    """
    try:
        with engine_errors(f"Clean-up after the failed launch of {name}"):
            if created:
                client.api.remove_container(created, force=True)
            if old is not None:
                rename(client, old, name)
                _run_again(client, old.id, old.state)
    except EngineError as error:
        return f"; and the container of before could not be brought back: {error.why} (see: xaiva ps)"
    return ""


def _run_again(client: docker.DockerClient, identity: str, before: State) -> None:
    """Start a container that was stopped to be replaced, as far as it ran before."""
    if before not in (State.RUNNING, State.PAUSED, State.RESTARTING):
        return
    if not inspect(client, identity)["State"].get("Paused"):
        client.api.start(identity)  # of one that runs nothing changes
        if before is State.PAUSED:
            client.api.pause(identity)


def leftover(container: Container) -> Finding | None:
    """Says that a container was set aside by a launch that was cut off, and what to do about it."""
    if not is_set_aside(container):
        return None
    name = container.name.removesuffix(_SUFFIX)
    named = "" if name == labels.container_name(container.preset) else f" --name {name}"
    return Finding(
        level=Level.WARNING,
        code="set-aside",
        what=f"Container {container.name}",
        why=f"a launch that was to replace {name} was cut off and has left it aside",
        remedy=f"launch again, which puts it right: xaiva launch {container.preset}{named} --replace",
        where=container.image,
    )
