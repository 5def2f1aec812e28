"""Lists the images, volumes and networks of an engine, with the containers that use them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from core.containers.listing import unix_time
from core.containers.model import ContainerState
from core.engine import engine_errors
from core.engine_objects.model import (
    ContainerUse,
    DiskUsage,
    EngineObject,
    Image,
    ImageLayer,
    Inventory,
    KindTotal,
    Network,
    ObjectKind,
    Volume,
)
from core.natural_order import natural_key
from core.open_enum import describe_misfit
from core.redaction import redact_document, redact_text

if TYPE_CHECKING:
    import docker

ObjectT = TypeVar("ObjectT", bound=EngineObject)
_UNTAGGED = "<none>:<none>"  # older engines
_LIVE = (ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING)
_Uses = dict[tuple[ObjectKind, str], list[ContainerUse]]


def read_inventory(client: docker.DockerClient) -> Inventory:
    """All images, volumes and networks. Their engine knows these without reading its disk. Raises EngineError."""
    with engine_errors("List of images, volumes and networks"):
        containers = client.api.containers(all=True)
        images = client.api.images()
        volumes = client.api.volumes().get("Volumes") or []
        networks = client.api.networks()
    uses = _container_uses(containers)
    return Inventory(
        images=_parse_rows(images, Image, lambda row: _parse_image(row, uses)),
        volumes=_parse_rows(volumes, Volume, lambda row: _parse_volume(row, uses)),
        networks=_parse_rows(networks, Network, lambda row: _parse_network(row, uses)),
    )


def with_usage(inventory: Inventory, usage: DiskUsage) -> Inventory:
    """The inventory with the sizes that only the engine's disk usage has, and the build cache."""
    shared, sizes = usage.shared_sizes or {}, usage.volume_sizes or {}
    return inventory.model_copy(
        update={
            "images": [image.model_copy(update={"shared_size": shared.get(image.id)}) for image in inventory.images],
            "volumes": [volume.model_copy(update={"size": sizes.get(volume.id)}) for volume in inventory.volumes],
            "cache": usage.cache,
        }
    )


def kind_totals(inventory: Inventory, usage: DiskUsage | None) -> list[KindTotal]:
    """The totals of each kind, from an inventory that has the usage's sizes."""
    unused_images = [image for image in inventory.images if image.unused]
    unused_volumes = [volume for volume in inventory.volumes if volume.unused]
    measured = [volume.size for volume in inventory.volumes if volume.size is not None]
    cache = inventory.cache
    unused_cache = [record for record in cache or [] if record.unused]
    return [
        KindTotal(
            kind=ObjectKind.IMAGE,
            count=len(inventory.images),
            size=usage.layers if usage else None,
            unused=len(unused_images),
            unused_size=_sum(image.unique_size for image in unused_images),
        ),
        KindTotal(
            kind=ObjectKind.VOLUME,
            count=len(inventory.volumes),
            size=sum(measured) if measured else None if inventory.volumes else 0,
            unmeasured=len(inventory.volumes) - len(measured),
            unused=len(unused_volumes),
            unused_size=_sum(volume.size for volume in unused_volumes),
        ),
        KindTotal(
            kind=ObjectKind.NETWORK,
            count=len(inventory.networks),
            size=None,
            unused=sum(network.unused and not network.built_in for network in inventory.networks),
            unused_size=None,
        ),
        KindTotal(
            kind=ObjectKind.CACHE,
            count=None if cache is None else len(cache),
            # a shared record's data belongs to an image or to another record, and is counted there
            size=None if cache is None else _sum(record.size for record in cache if not record.shared),
            unused=None if cache is None else len(unused_cache),
            unused_size=None if cache is None else _sum(record.size for record in unused_cache),
        ),
    ]


def _sum(sizes: Iterable[int | None]) -> int | None:
    """The sum, None when one of them is unknown."""
    total = 0
    for size in sizes:
        if size is None:
            return None
        total += size
    return total


def image_layers(client: docker.DockerClient, identity: str) -> list[ImageLayer]:
    """The steps that made an image, newest first, with secrets hidden. Raises EngineError."""
    with engine_errors(f"History of image {identity}"):
        steps: list[dict[str, Any]] = client.api.history(identity)  # type: ignore[no-untyped-call]
    return [
        ImageLayer(
            created_by=redact_text(str(step.get("CreatedBy") or step.get("Comment") or "")),
            size=known_size(step.get("Size")),
            created=known_time(step.get("Created")),
        )
        for step in steps
    ]


def known_size(value: Any) -> int | None:
    """A size of the engine's; -1 and null are unknown."""
    return None if value is None or int(value) < 0 else int(value)


def known_time(value: Any) -> float | None:
    """A time of the engine's, a number or a text; one before 1970 stands for none."""
    if not value:
        return None
    moment = float(value) if isinstance(value, (int, float)) else unix_time(str(value))
    return moment if moment > 0 else None


def _parse_rows(rows: Any, model: type[ObjectT], read: Callable[[dict[str, Any]], ObjectT]) -> list[ObjectT]:
    """The objects, sorted by name. One that cannot be read has the reason in `unreadable`."""
    objects = [parse_object(row, model, read) for row in rows or []]
    return sorted(objects, key=lambda item: natural_key(item.name))


def parse_object(row: Any, model: type[ObjectT], read: Callable[[dict[str, Any]], ObjectT]) -> ObjectT:
    """One object; one that cannot be read has the reason in `unreadable`."""
    try:
        return read(row)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        fields = row if isinstance(row, dict) else {}
        name = str(fields.get("Name") or fields.get("Id") or fields.get("ID") or "(no name)")
        identity = str(fields.get("Id") or fields.get("ID") or name)
        return model(id=identity, name=name, unreadable=describe_misfit(error))


def _parse_image(row: dict[str, Any], uses: _Uses) -> Image:
    tags = [tag for tag in row.get("RepoTags") or [] if tag != _UNTAGGED]
    digests = [digest for digest in row.get("RepoDigests") or [] if not digest.startswith("<none>")]
    repository = digests[0].partition("@")[0] if digests else ""
    return Image(
        id=row["Id"],
        name=tags[0] if tags else f"{repository or 'no tag'} {row['Id'].removeprefix('sha256:')[:12]}",
        tags=tags,
        digests=digests,
        created=known_time(row.get("Created")),
        size=known_size(row.get("Size")),
        labels=redact_document(row.get("Labels") or {}),
        used_by=uses[ObjectKind.IMAGE, row["Id"]],
    )


def _parse_volume(row: dict[str, Any], uses: _Uses) -> Volume:
    return Volume(
        id=row["Name"],
        name=row["Name"],
        created=known_time(row.get("CreatedAt")),
        driver=row.get("Driver") or "",
        mountpoint=row.get("Mountpoint") or "",
        scope=row.get("Scope") or "",
        options=redact_document(row.get("Options") or {}),
        labels=redact_document(row.get("Labels") or {}),
        used_by=uses[ObjectKind.VOLUME, row["Name"]],
    )


def _parse_network(row: dict[str, Any], uses: _Uses) -> Network:
    configs = (row.get("IPAM") or {}).get("Config") or []
    return Network(
        id=row["Id"],
        name=row["Name"],
        created=known_time(row.get("Created")),
        driver=row.get("Driver") or "",
        scope=row.get("Scope") or "",
        internal=bool(row.get("Internal")),
        subnets=[config["Subnet"] for config in configs if config.get("Subnet")],
        gateways=[config["Gateway"] for config in configs if config.get("Gateway")],
        options=redact_document(row.get("Options") or {}),
        labels=redact_document(row.get("Labels") or {}),
        used_by=uses[ObjectKind.NETWORK, row["Id"]] or uses[ObjectKind.NETWORK, row["Name"]],
    )


def _container_uses(rows: Any) -> _Uses:
    """The containers by what they use. A network is found by its id, or by its name if a container has no id for it."""
    uses: _Uses = defaultdict(list)
    for row in rows or []:
        names = row.get("Names") or []
        use = ContainerUse(
            container=str(names[0]).lstrip("/") if names else str(row.get("Id"))[:12],
            id=str(row.get("Id") or ""),
            running=ContainerState(row.get("State")) in _LIVE,
        )
        uses[ObjectKind.IMAGE, str(row.get("ImageID") or "")].append(use)
        for mount in row.get("Mounts") or []:
            if mount.get("Type") == "volume" and mount.get("Name"):
                where = str(mount.get("Destination") or "") + ("" if mount.get("RW", True) else ", read-only")
                uses[ObjectKind.VOLUME, mount["Name"]].append(use.model_copy(update={"how": where}))
        for name, network in ((row.get("NetworkSettings") or {}).get("Networks") or {}).items():
            fields = network or {}
            key = ObjectKind.NETWORK, str(fields.get("NetworkID") or name)
            uses[key].append(use.model_copy(update={"how": str(fields.get("IPAddress") or "")}))
    return uses
