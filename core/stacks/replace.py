"""Replaces the containers of a service, with a way back: the old ones are removed only once the new ones work.

Compose creates a new container beside each old one, which it leaves alone. Where both can run, the new one starts
first; where they cannot, the old one is stopped first, and started again if the new one fails. All that is needed to
go on after a kill is in the engine: a container that is as the file says is a new one, the others are old.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from core import labels
from core.containers.listing import inspect_container
from core.engine import EngineError, engine_errors
from core.engine_image import inspect_image
from core.errors import XaivaError
from core.progress import Progress
from core.stacks.compose import run_compose, shared_config_hashes
from core.stacks.model import ImageOrigin, Service, Stack
from core.stacks.update_order import stop_first_reason
from core.stacks.wait import wait_for_service

if TYPE_CHECKING:
    import docker

_FAILED_STOP_SECONDS = 2  # for a container that does not work, before the old one starts
BEFORE_SUFFIX = "-before"  # of the tag of the image that ran before


def service_containers(client: docker.DockerClient, stack: Stack, service: str) -> list[str]:
    """The ids of the containers of a service, oldest first. Raises EngineError."""
    wanted = {"label": [f"{labels.COMPOSE_PROJECT}={stack.project}", f"{labels.COMPOSE_SERVICE}={service}"]}
    with engine_errors(f"Containers of {service}"):
        rows = client.api.containers(all=True, filters=wanted)
    return [str(row["Id"]) for row in sorted(rows, key=lambda row: float(row.get("Created") or 0))]


def replace_service(
    client: docker.DockerClient, stack: Stack, service: Service, env: Mapping[str, str], progress: Progress
) -> None:
    """Replace the containers of a service by those of its new image and configuration; goes on after a kill, too.

    Raises EngineError when a new one does not work; the old ones then run as before.
    """
    found = [inspect_container(client, one) for one in service_containers(client, stack, service.name)]
    image = inspect_image(client, service.image)
    config_hash = wanted_hash(client, stack, service, env)
    right = [data for data in found if is_as_wanted(data, image, config_hash)]
    old = [data for data in found if data not in right]
    old += right[service.scale :]  # somebody has scaled it by hand
    new = [str(data["Id"]) for data in right[: service.scale]]
    # One that a killed run has stopped has to run again if this run fails, too.
    ran = [data for data in old if new or data["State"].get("Running")]
    known = {str(data["Id"]) for data in found}
    try:
        if missing := service.scale - len(new):
            # --no-recreate leaves all others alone. Not --no-deps: compose before 2.30 then makes another configuration
            # hash, and would itself replace the container at the next `docker compose up`.
            words = ("--no-start", "--no-recreate", "--no-build", "--pull", "never")
            scale = f"{service.name}={len(found) + missing}"
            run_compose(stack.folder, env, "up", *words, "--scale", scale, service.name, progress=progress)
            created = [one for one in service_containers(client, stack, service.name) if one not in known]
            if len(created) != missing:
                raise EngineError(f"Service {service.name}", "compose created no second container", "see the log")
            new += created
        elif old:
            progress.log(
                f"a replacement was interrupted: {', '.join(map(name_of, found))}; it goes on with {len(new)} of them"
            )
        if old and (reason := stop_first_reason(service)):
            progress.log(f"the old container is stopped first, because {reason}")
            for data in old:
                with engine_errors(f"Stop of {service.name}"):
                    client.api.stop(data["Id"])  # with the grace period of its own
        for identity in new:
            start_container(client, service.name, identity)
        for identity in new:
            wait_for_service(client, service, identity, progress, completes=stack.must_complete(service.name))
    except BaseException as error:
        with suppress(EngineError):  # compose may have been stopped after it had created some
            new = list({*new, *service_containers(client, stack, service.name)} - {str(data["Id"]) for data in old})
        outcome = _go_back(client, service, new, old, {data["Id"] for data in ran})
        if isinstance(error, XaivaError):
            error.why = f"{error.why}; {outcome}"
            error.remedy = error.remedy if not old else ""  # it names the new container, which is gone
        raise
    _retire(client, service, old, new)


def is_as_wanted(data: Mapping[str, Any], image: Mapping[str, Any] | None, config_hash: str) -> bool:
    """Whether a container is of the image and the configuration that the file asks for."""
    described = (data.get("Config") or {}).get("Labels") or {}
    same_image = image is None or data.get("Image") == image.get("Id")
    return same_image and described.get(labels.COMPOSE_HASH) == config_hash


def wanted_hash(client: docker.DockerClient, stack: Stack, service: Service, env: Mapping[str, str]) -> str:
    """The configuration hash that a new container of the service would have. Raises EngineError."""
    found = {name: service_containers(client, stack, name) for name in service.shares_with}
    shared = shared_config_hashes(stack, env, {name: ids[-1] for name, ids in found.items() if ids})
    return shared.get(service.name) or stack.config_hashes.get(service.name, "")


def start_container(client: docker.DockerClient, service: str, identity: str) -> None:
    """Start a container; one that runs is left alone. Raises EngineError."""
    with engine_errors(f"Start of {service}"):
        client.api.start(identity)


def _go_back(
    client: docker.DockerClient,
    service: Service,
    new: Sequence[str],
    old: Sequence[Mapping[str, Any]],
    ran: Collection[str],
) -> str:
    """Remove the new containers, and start those that ran before; returns what became of it."""
    if not old:
        return "it is the only one"
    problems = []
    for identity in new:
        problems += _attempt(f"Removal of the new container of {service.name}", lambda one=identity: _drop(client, one))
    for data in old:
        if data["Id"] in ran:
            what = f"Start of {name_of(data)}"
            problems += _attempt(what, lambda one=data["Id"]: client.api.start(one))
    if service.origin is ImageOrigin.BUILD:
        problems += _attempt(f"Tag of {service.image}", lambda: tag_image(client, str(old[0]["Image"]), service.image))
    if problems:
        return f"and the one before could not be brought back: {'; '.join(problems)}"
    return "the one before runs as before" if ran else "the one before is as it was, and it did not run"


def _drop(client: docker.DockerClient, identity: str) -> None:
    import docker.errors

    with suppress(docker.errors.APIError):
        client.api.stop(identity, timeout=_FAILED_STOP_SECONDS)
    client.api.remove_container(identity, force=True)


def _attempt(what: str, work: Any) -> list[str]:
    try:
        with engine_errors(what):
            work()
    except EngineError as error:
        return [f"{error.what}: {error.why}"]
    return []


def _retire(
    client: docker.DockerClient, service: Service, old: Sequence[Mapping[str, Any]], new: Sequence[str]
) -> None:
    """Remove the old containers, and give the new ones their names."""
    if old:
        keep_previous_image(client, service, str(old[0]["Image"]))  # while a container still holds it
    with engine_errors(f"Removal of the previous container of {service.name}"):
        for data in old:
            client.api.stop(data["Id"])
            client.api.remove_container(data["Id"], force=True)
        for data, identity in zip(old, new, strict=False):
            client.api.rename(identity, name_of(data))


def keep_previous_image(client: docker.DockerClient, service: Service, image_id: str) -> None:
    """Keep the image that ran before under a tag of its own; the one that had the tag goes unless it is used."""
    import docker.errors

    now = inspect_image(client, service.image)
    if service.origin is not ImageOrigin.BUILD or now is None or now["Id"] == image_id:
        return
    tag = before_tag(service.image)
    older = inspect_image(client, tag)
    with engine_errors(f"Image {tag}"), suppress(docker.errors.NotFound):  # somebody has removed it
        tag_image(client, image_id, tag)
    rest = inspect_image(client, older["Id"]) if older is not None else None
    if rest is not None and not rest.get("RepoTags"):
        with engine_errors(f"Image {rest['Id']}"), suppress(docker.errors.APIError):  # something else uses it
            client.api.remove_image(rest["Id"])


def before_tag(reference: str) -> str:
    """The tag of the image that ran before."""
    from docker.utils import parse_repository_tag

    repository, tag = parse_repository_tag(reference)
    return f"{repository}:{tag or 'latest'}{BEFORE_SUFFIX}"


def tag_image(client: docker.DockerClient, image_id: str, reference: str) -> None:
    """Give an image a tag."""
    from docker.utils import parse_repository_tag

    client.api.tag(image_id, *parse_repository_tag(reference))


def name_of(data: Mapping[str, Any]) -> str:
    """The name in the engine's description of a container."""
    return str(data["Name"]).lstrip("/")
