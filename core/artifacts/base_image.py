"""A base image as files: exported from the engine blob by blob, imported into any engine as one tar.

Layout of `images/<name>/`: `blobs/sha256/<digest>`, and beside them the manifests of both formats: `manifest.json`
(docker load) and `oci-layout` + `index.json` (OCI). Blobs are named by their content, so equal layers of several
images are equal files. The manifests depend on the blobs alone.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from core.artifacts.engine_archive import EngineReader, read_saved_image, saved_digest
from core.artifacts.image_layout import MAGIC_BYTES, LayoutBlob, layout_documents, oci_manifest
from core.artifacts.lockfile import FileKind, LockedFile, LockedImage
from core.artifacts.orphaned_helpers import helper_label
from core.engine import EngineError, engine_errors
from core.files import CHUNK_BYTES, TEMPORARY_PREFIX, move_into_place, sha256_bytes, write_atomic
from core.progress import Progress, stop_if_cancelled

if TYPE_CHECKING:
    import docker

PLATFORM = "linux/amd64"
TAG_DIGITS = 12


@dataclass(frozen=True)
class SavedImage:
    """An image whose blobs are in the artifacts folder."""

    image: LockedImage
    files: list[LockedFile]
    manifests: dict[str, bytes]
    """Path in the artifacts folder → content of the files that describe the blobs."""

    def write_manifests(self, artifacts: Path) -> None:
        """Write the manifests and remove other blobs: from now on the folder holds this image alone."""
        for path, content in self.manifests.items():
            write_atomic(artifacts / path, content)
        locked_paths = {file.path for file in self.files}
        for blob in (artifacts / self.image.folder / "blobs/sha256").iterdir():
            if blob.relative_to(artifacts).as_posix() not in locked_paths:
                blob.unlink()


def save_image(
    client: docker.DockerClient, reference: str, artifacts: Path, progress: Progress, pull: bool = False
) -> SavedImage:
    """Bring the blobs of image `reference` into `artifacts`, pulling it when the engine lacks it or `pull` is set.

    An earlier image of that name in the folder stays valid until `write_manifests`. Raises EngineError when the engine
    has no such image and cannot get it, OSError when the disk is full, Cancelled.
    """
    image = _pull_if_missing(client, reference, progress, pull)
    folder = f"images/{_folder_name(reference)}"
    blobs = artifacts / folder / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    what = f"Saving {reference}"
    with EngineReader(what, lambda: image.save(chunk_size=CHUNK_BYTES, named=True), progress) as stream:
        listing, names = read_saved_image(what, stream, lambda _name, _size, source: _write_blob(source, blobs))
    entry = listing[0]
    config = saved_digest(entry["Config"], names)
    layers = [saved_digest(name, names) for name in entry["Layers"]]
    repository, tag = image_repository(reference), f"xaiva-base/{image_repository(reference)}:{config[:TAG_DIGITS]}"
    manifests = {f"{folder}/{name}": text for name, text in _build_manifests(blobs, tag, config, layers).items()}
    digests = [d.partition("@")[2] for d in image.attrs.get("RepoDigests") or [] if repository in d or "@" in reference]
    os_release, python = _read_os_and_python(client, image.id or reference)
    locked = LockedImage(
        reference=reference,
        tag=tag,
        config_digest=f"sha256:{config}",
        manifest_digest=digests[0] if digests else "",
        platform=PLATFORM,
        os_release=os_release,
        python=python,
        folder=folder,
    )
    files = {f"{folder}/blobs/sha256/{name}": ((blobs / name).stat().st_size, name) for name in {config, *layers}}
    files |= {path: (len(text), sha256_bytes(text)) for path, text in manifests.items()}
    return SavedImage(
        locked, [_locked_file(path, *files[path], reference, config) for path in sorted(files)], manifests
    )


def image_repository(reference: str) -> str:
    """The name in an image reference, without registry, tag and digest: `nvidia/cuda`."""
    name = reference.partition("@")[0]
    head, _, last = name.rpartition("/")
    name = f"{head}/{last.partition(':')[0]}" if head else last.partition(":")[0]
    first, _, rest = name.partition("/")
    registry = rest and ("." in first or ":" in first or first == "localhost")
    return (rest if registry else name).lower()


def _pull_if_missing(client: docker.DockerClient, reference: str, progress: Progress, pull: bool) -> Any:
    import docker.errors

    with engine_errors(f"Base image {reference}"):
        if not pull:
            try:
                return client.images.get(reference)
            except docker.errors.ImageNotFound:
                progress.log(f"{reference} is not in the engine; pulling it")
        for event in client.api.pull(reference, platform=PLATFORM, stream=True, decode=True):
            stop_if_cancelled(progress)
            if "error" in event:
                raise EngineError(
                    f"Base image {reference}",
                    str(event["error"]),
                    "check the name and the registry, log in with docker login, or docker load it from a file",
                )
        return client.images.get(reference)


def _write_blob(source: IO[bytes], blobs: Path) -> str:
    digest = hashlib.sha256()
    temporary = blobs / f"{TEMPORARY_PREFIX}blob"
    try:
        with open(temporary, "wb") as file:
            while data := source.read(CHUNK_BYTES):
                digest.update(data)
                file.write(data)
        name = digest.hexdigest()
        move_into_place(temporary, blobs / name)
    finally:
        temporary.unlink(missing_ok=True)
    return name


def _build_manifests(blobs: Path, tag: str, config: str, layers: list[str]) -> dict[str, bytes]:
    """Path → content: the OCI manifest, and the three files from which docker and OCI readers find it."""
    manifest = oci_manifest(_layout_blob(blobs / config), [_layout_blob(blobs / layer) for layer in layers])
    return {
        f"blobs/sha256/{sha256_bytes(manifest)}": manifest,
        **layout_documents(tag, config, layers, manifest, PLATFORM),
    }


def _layout_blob(path: Path) -> LayoutBlob:
    with open(path, "rb") as file:
        return LayoutBlob(path.name, path.stat().st_size, file.read(MAGIC_BYTES))


def _locked_file(path: str, size: int, sha256: str, reference: str, config: str) -> LockedFile:
    return LockedFile(
        path=path,
        size=size,
        sha256=sha256,
        kind=FileKind.IMAGE,
        url=f"docker:{reference}",
        name=reference,
        version=config[:TAG_DIGITS],
    )


def _read_os_and_python(client: docker.DockerClient, image: str) -> tuple[str, str]:
    """The image's distribution (`debian 12`) and the version of its `/usr/bin/python3`; "" for what it lacks."""
    with engine_errors(f"Inspecting {image}"):
        container = client.containers.create(image, command=["true"], network_disabled=True, labels=helper_label())
        try:
            release = _read(container, "/usr/lib/os-release") or _read(container, "/etc/os-release")
            target = _read_link(container, "/usr/bin/python3")
        finally:
            container.remove(force=True)
    fields = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', release, re.MULTILINE))
    version = re.search(r"python(3\.\d+)$", target)
    return f"{fields.get('ID', '')} {fields.get('VERSION_ID', '')}".strip(), version[1] if version else ""


def _read(container: Any, path: str) -> str:
    import docker.errors

    try:
        chunks, _ = container.get_archive(path)
    except docker.errors.NotFound:
        return ""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        member = tar.next()
        source = tar.extractfile(member) if member is not None and member.isfile() else None
        return source.read().decode(errors="replace") if source else ""


def _read_link(container: Any, path: str) -> str:
    import docker.errors

    try:
        _, stat = container.get_archive(path)
    except docker.errors.NotFound:
        return ""
    return str(stat.get("linkTarget", ""))


def _folder_name(reference: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", reference.lower())
