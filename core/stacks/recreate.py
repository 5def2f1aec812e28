"""Replaces the container of a service of which there can be only one, with a way back.

Compose removes the old container and gives its name and its volumes without a name to the new one. The engine's
description of the old one is kept in the state of the site until the new one works, and makes it again if not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.containers.listing import inspect_container
from core.engine import EngineError, engine_errors
from core.engine_image import inspect_image
from core.errors import XaivaError
from core.progress import Progress
from core.site import Site
from core.stacks.compose import run_compose
from core.stacks.kept_containers import forget, keep, kept_path, read_kept
from core.stacks.model import ImageOrigin, Service, Stack
from core.stacks.replace import (
    is_as_wanted,
    keep_previous_image,
    name_of,
    service_containers,
    start_container,
    tag_image,
    wanted_hash,
)
from core.stacks.wait import wait_for_service

if TYPE_CHECKING:
    import docker


def recreate_service(
    client: docker.DockerClient, site: Site, stack: Stack, service: Service, env: Mapping[str, str], progress: Progress
) -> None:
    """Remove the old container for a new one with its name; goes on after a kill, too.

    Raises EngineError when the new one does not work; the old one is then made again.
    """
    before = read_kept(site, stack.name, service.name)
    found = service_containers(client, stack, service.name)
    if before:
        progress.log("a replacement was interrupted; it goes on with the description of the container before it")
        _tidy(client, found, before)
    else:
        before = [inspect_container(client, identity) for identity in found]
        keep(site, stack.name, service.name, before)
    try:
        if not _is_done(client, stack, service, before, wanted_hash(client, stack, service, env)):
            words = ("--no-start", "--force-recreate", "--no-build", "--pull", "never")
            run_compose(stack.folder, env, "up", *words, service.name, progress=progress)
        new = service_containers(client, stack, service.name)
        for identity in new:
            start_container(client, service.name, identity)
        for identity in new:
            wait_for_service(client, service, identity, progress, completes=stack.must_complete(service.name))
    except BaseException as error:
        outcome = "the one before was made again"
        try:
            _go_back(client, stack, service, before)
            forget(site, stack.name, service.name)
        except EngineError as failure:
            path = kept_path(site, stack.name, service.name)
            outcome = f"and the one before could not be made again: {failure.why}; its description is in {path}"
        if isinstance(error, XaivaError):
            error.why = f"{error.why}; {outcome}"
            error.remedy = ""  # it names the new container, which is gone
        raise
    forget(site, stack.name, service.name)
    keep_previous_image(client, service, str(before[0]["Image"]))


def _tidy(client: docker.DockerClient, found: Sequence[str], before: Sequence[Mapping[str, Any]]) -> None:
    """Leave what compose can go on from: the old container, else the new one, else the old one made again."""
    old = [str(data["Id"]) for data in before]
    if any(identity in found for identity in old):
        with engine_errors("Removal of an unfinished container"):
            for identity in found:
                if identity not in old:
                    client.api.remove_container(identity, force=True)
    elif not found:
        for data in before:
            _make(client, data)


def _is_done(
    client: docker.DockerClient, stack: Stack, service: Service, before: Sequence[Mapping[str, Any]], config_hash: str
) -> bool:
    """Whether a killed run has put the new container in its place already."""
    found = [inspect_container(client, identity) for identity in service_containers(client, stack, service.name)]
    image = inspect_image(client, service.image)
    return (
        bool(found)
        and {data["Id"] for data in found}.isdisjoint(data["Id"] for data in before)
        and {name_of(data) for data in found} == {name_of(data) for data in before}
        and all(is_as_wanted(data, image, config_hash) for data in found)
    )


def _go_back(client: docker.DockerClient, stack: Stack, service: Service, before: Sequence[Mapping[str, Any]]) -> None:
    old = [str(data["Id"]) for data in before]
    found = service_containers(client, stack, service.name)
    with engine_errors(f"Way back of {service.name}"):
        for identity in found:
            if identity not in old:
                client.api.remove_container(identity, force=True)
        for data in before:
            identity = str(data["Id"]) if data["Id"] in found else _make(client, data)
            if name_of(inspect_container(client, identity)) != name_of(data):
                client.api.rename(identity, name_of(data))
            if data["State"].get("Running"):
                client.api.start(identity)
        if service.origin is ImageOrigin.BUILD:
            tag_image(client, str(before[0]["Image"]), service.image)


def _make(client: docker.DockerClient, data: Mapping[str, Any]) -> str:
    """Create a container again from the engine's description of it; returns its id."""
    api: Any = client.api  # the SDK's types leave some of these calls out
    config, host = dict(data["Config"]), dict(data["HostConfig"])
    config["Image"] = data["Image"]  # the tag may mean another one by now
    if config.get("Hostname") == data["Id"][:12]:
        del config["Hostname"]
    unnamed = _unnamed_volumes(data)
    host["Mounts"] = [mount for mount in host.get("Mounts") or () if mount.get("Target") not in unnamed]
    host["Binds"] = [*(host.get("Binds") or ()), *(f"{name}:{target}" for target, name in unnamed.items())]
    mode = str(host.get("NetworkMode") or "")
    networks = dict(data["NetworkSettings"].get("Networks") or {}) if mode not in ("host", "none") else {}
    first = {mode: _endpoint(data, networks.pop(mode))} if mode in networks else {}
    body = {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": first}}
    with engine_errors(f"Container {name_of(data)}"):
        identity = str(api.create_container_from_config(body, name_of(data))["Id"])
        for network, endpoint in networks.items():
            body = {"Container": identity, "EndpointConfig": _endpoint(data, endpoint)}
            api._raise_for_status(api._post_json(api._url("/networks/{0}/connect", network), data=body))
    return identity


def _unnamed_volumes(data: Mapping[str, Any]) -> dict[str, str]:
    """Folder → name of each volume that the engine has named by itself."""
    host = data["HostConfig"]
    named = {str(bind).split(":")[1] for bind in host.get("Binds") or () if ":" in str(bind)}
    named |= {str(mount["Target"]) for mount in host.get("Mounts") or () if mount.get("Source")}
    volumes = [mount for mount in data.get("Mounts") or () if mount.get("Type") == "volume"]
    return {str(one["Destination"]): str(one["Name"]) for one in volumes if one["Destination"] not in named}


def _endpoint(data: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for of a network, without what the engine chose."""
    aliases = [name for name in described.get("Aliases") or () if name != data["Id"][:12]]
    return {"Aliases": aliases, "IPAMConfig": described.get("IPAMConfig"), "Links": described.get("Links")}
