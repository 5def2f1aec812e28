"""The facts about the Docker engine and the images of xaiva in it. Each field of its answers is named here."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from core import labels
from core.containers.gpu_access import gpu_access
from core.engine import connect_engine, engine_errors, resolve_endpoint
from core.engine_identity import engine_place
from core.engine_image import image_labels, inspect_image
from core.engine_version import engine_title
from core.images.build_history import BuildRecord, list_builds
from core.natural_order import natural_key
from core.site import Site
from core.site_report.model import EngineFacts, ImageFacts, ImageStore

if TYPE_CHECKING:
    import docker

ENGINE_SECONDS = 5.0  # timeout of one call
_TAGS = ("xaiva/", "xaiva-base/")
_SNAPSHOTTER = "io.containerd.snapshotter"


def engine_facts(site: Site) -> EngineFacts:
    """The engine. Raises EngineError."""
    endpoint = resolve_endpoint(site)
    with closing(connect_engine(site, ENGINE_SECONDS)) as client, engine_errors("Engine's description"):
        version: dict[str, Any] = client.version()
        info: dict[str, Any] = client.info()
    return EngineFacts(
        title=engine_title(version),
        place=engine_place(endpoint),
        version=str(version.get("Version") or ""),
        api=str(version.get("ApiVersion") or ""),
        minimum_api=str(version.get("MinAPIVersion") or ""),
        image_store=_image_store(info),
        storage_driver=str(info.get("Driver") or ""),
        architecture=str(info.get("Architecture") or ""),
        gpu_access=gpu_access(info, local=endpoint.local).value,
        runtimes=sorted(map(str, info.get("Runtimes") or [])),
    )


def image_facts(site: Site) -> list[ImageFacts]:
    """The images that xaiva built, loaded or tagged. Raises EngineError."""
    builds = list_builds(site)
    with closing(connect_engine(site, ENGINE_SECONDS)) as client:
        with engine_errors("Engine's description"):
            store = _image_store(client.info())
        with engine_errors("List of images"):
            rows: list[dict[str, Any]] = client.api.images()
        images = [_image(client, str(row["Id"]), store, builds) for row in rows if _is_ours(row)]
    present = [image for image in images if image is not None]
    return sorted(present, key=lambda image: natural_key(image.tags[0] if image.tags else image.id))


def _image_store(info: dict[str, Any]) -> ImageStore:
    if "DriverStatus" not in info:  # another vendor's engine
        return ImageStore.UNKNOWN
    return ImageStore.CONTAINERD if _SNAPSHOTTER in str(info["DriverStatus"]) else ImageStore.CLASSIC


def _is_ours(row: dict[str, Any]) -> bool:
    tags = row.get("RepoTags") or []
    return labels.PRESET in (row.get("Labels") or {}) or any(tag.startswith(_TAGS) for tag in tags)


def _image(
    client: docker.DockerClient, identity: str, store: ImageStore, builds: list[BuildRecord]
) -> ImageFacts | None:
    """An image; None when it was removed in the meantime."""
    description = inspect_image(client, identity)
    if description is None:
        return None
    build = next((build for build in builds if build.image_id == identity), None)
    own_labels = image_labels(description)
    return ImageFacts(
        id=identity,
        tags=[str(tag) for tag in description.get("RepoTags") or []],
        config=identity if store is ImageStore.CLASSIC else build.config_digest if build else "",
        manifest=identity if store is ImageStore.CONTAINERD else build.manifest_digest if build else "",
        preset=own_labels.get(labels.PRESET, ""),
        preset_sha256=own_labels.get(labels.PRESET_SHA256, ""),
        lock_sha256=own_labels.get(labels.LOCK_SHA256, ""),
        platform="/".join(str(description.get(name) or "unknown") for name in ("Os", "Architecture")),
        size=description.get("Size"),
        layers=[str(layer) for layer in (description.get("RootFS") or {}).get("Layers") or []],
    )
