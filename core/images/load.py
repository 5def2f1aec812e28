"""Loads images into the engine, without a registry: the base images of a preset, or an archive of `docker save`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from core.artifacts import lock_store
from core.artifacts.lockfile import Lock, LockedImage
from core.engine import EngineError, docker_environment, require_engine_version
from core.errors import XaivaError
from core.files import CHUNK_BYTES
from core.images.build_recorder import LOAD_STAGE
from core.images.delivery import deliver_images
from core.images.docker_cli import run_docker
from core.images.docker_load import docker_load
from core.images.engine_space import check_engine_space
from core.images.image_archive import check_image_archive
from core.images.image_blobs import DamagedBlob, DeliveredImage, FolderSource
from core.progress import ByteCounter, Progress
from core.site import Site


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Load the base images of preset `subject`, or with the option `file` an archive of `docker save`.

    Returns the tags that were loaded. Raises XaivaError when a file is missing or the engine refuses.
    """
    if file := options.get("file"):
        path = site.root / str(file)
        check_image_archive(path)
        require_engine_version(site)
        check_engine_space(site, path.stat().st_size, f"the images of {path.name}")
        with ByteCounter(progress, LOAD_STAGE, f"load {path.name}", path.stat().st_size) as transfer:
            env = docker_environment(site)
            names = docker_load(path.name, _read_chunks(path), env, progress, transfer.add, LOAD_STAGE)
        return {"loaded": list(names)}
    lock = lock_store.read_lock(site, subject)
    return {"loaded": list(load_bases(site, subject, lock, progress))}


def load_bases(site: Site, preset: str, lock: Lock, progress: Progress) -> list[str]:
    """Bring the base images of the lock into the engine, under xaiva's tags; returns the tags.

    Raises XaivaError when a file is missing or damaged, EngineError, Cancelled.
    """
    env = docker_environment(site)
    require_engine_version(site)
    unique = {image.tag: image for image in (lock.base_image, lock.runtime_base_image) if image is not None}
    missing = [image for image in unique.values() if not _is_present(image, env)]  # present, even if the files are gone
    artifacts = lock_store.artifacts_folder(site, preset)
    needed_bytes = sum(_layout_bytes(artifacts, image) for image in missing)
    check_engine_space(site, needed_bytes, f"the base images of {preset}")
    for image in missing:
        folder = artifacts / image.folder
        delivered = _read_layout(folder, preset, image)
        try:
            deliver_images(site, [delivered], FolderSource(folder / "blobs/sha256"), progress, LOAD_STAGE)
        except DamagedBlob as error:
            what, why = f"Base image {image.reference}", error.summary
            raise XaivaError(what, why, f"see what is damaged: xaiva verify {preset}") from error
    return list(unique)


def image_id(reference: str, env: Mapping[str, str]) -> str:
    """The engine's id of an image; empty when it does not have it. Raises EngineError when it does not answer."""
    done = run_docker("image", "inspect", "--format", "{{.Id}}", reference, env=env)
    if done.returncode and "no such image" not in done.stderr.lower():
        raise EngineError("Docker engine", done.stderr.strip(), "see what is wrong with it: xaiva doctor")
    return done.stdout.strip()


def _read_layout(folder: Path, preset: str, image: LockedImage) -> DeliveredImage:
    """The image in an OCI layout. Raises XaivaError when it is not there."""
    what = f"Base image {image.reference}"
    try:
        [entry] = json.loads((folder / "manifest.json").read_text())
        [reference] = json.loads((folder / "index.json").read_text())["manifests"]
        return DeliveredImage(
            tag=image.tag,
            config=image.config_digest.removeprefix("sha256:"),
            manifest=str(reference["digest"]).removeprefix("sha256:"),
            layers=tuple(str(layer).rpartition("/")[2] for layer in entry["Layers"]),
            platform=image.platform,
        )
    except FileNotFoundError as error:
        raise XaivaError(what, f"it is not in {folder}", f"fetch it, online: xaiva sync {preset}") from error
    except (ValueError, LookupError, TypeError) as error:
        remedy = f"see what is damaged: xaiva verify {preset}"
        raise XaivaError(what, f"its description in {folder} cannot be read ({error})", remedy) from error


def _is_present(image: LockedImage, env: Mapping[str, str]) -> bool:
    return image_id(image.tag, env) in {image.config_digest, image.manifest_digest} - {""}


def _layout_bytes(folder: Path, image: LockedImage) -> int:
    """The size of an image's layout in the artifacts `folder`; 0 without one."""
    return sum(path.stat().st_size for path in (folder / image.folder).rglob("*") if image.folder and path.is_file())


def _read_chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while data := file.read(CHUNK_BYTES):
            yield data
