"""A base image as files: exported from the engine blob by blob, imported into any engine as one tar.

Layout of `images/<name>/`: `blobs/sha256/<digest>`, and beside them the manifests of both formats: `manifest.json`
(docker load) and `oci-layout` + `index.json` (OCI). Blobs are named by their content, so equal layers of several
images are equal files. The manifests depend on the blobs alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import queue
import re
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from core.artifacts.lockfile import FileKind, LockedFile, LockedImage
from core.artifacts.orphaned_helpers import helper_label
from core.engine import SLOW_REMEDY, EngineError, engine_errors
from core.errors import XaivaError
from core.files import CHUNK_BYTES, TEMPORARY_PREFIX, move_into_place, sha256_bytes, write_atomic
from core.progress import Progress, stop_if_cancelled

if TYPE_CHECKING:
    import docker

PLATFORM = "linux/amd64"
TAG_DIGITS = 12
POLL_SECONDS = 0.2
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


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
    with _EngineStream(what, lambda: image.save(chunk_size=CHUNK_BYTES, named=True), progress) as stream:
        listing, names = _unpack(what, stream, blobs)
    entry = listing[0]
    config = _digest_of(entry["Config"], names)
    layers = [_digest_of(name, names) for name in entry["Layers"]]
    repository, tag = image_repository(reference), f"xaiva-base/{image_repository(reference)}:{config[:TAG_DIGITS]}"
    manifests = {
        f"{folder}/{name}": text.encode() for name, text in _build_manifests(blobs, tag, config, layers).items()
    }
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


def stream_image(artifacts: Path, image: LockedImage) -> Iterator[bytes]:
    """The image as one tar for `docker load`, rebuilt from its blobs; the same blobs give the same bytes.

    Raises XaivaError when a file is missing.
    """
    folder = artifacts / image.folder
    names = ["oci-layout", "index.json", "manifest.json"]
    names += sorted(f"blobs/sha256/{path.name}" for path in (folder / "blobs/sha256").glob("*"))
    for name in names:
        try:
            with open(folder / name, "rb") as file:
                size = file.seek(0, io.SEEK_END)
                file.seek(0)
                yield _tar_header(name, size)
                while data := file.read(CHUNK_BYTES):
                    yield data
        except FileNotFoundError as error:
            raise XaivaError(
                f"Base image {image.reference}", f"{folder / name} is missing", f"fetch it: xaiva sync {artifacts.name}"
            ) from error
        yield b"\0" * (-size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


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


class _EngineStream(io.RawIOBase):
    """The engine's chunks as a readable file. A thread waits for the engine, so that cancelling never does."""

    def __init__(self, what: str, start: Callable[[], Iterable[bytes]], progress: Progress) -> None:
        self._what = what
        self._progress = progress
        self._rest = b""
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=8)
        self._ended = threading.Event()
        threading.Thread(target=self._pump, args=(start,), daemon=True).start()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            stop_if_cancelled(self._progress)
            try:
                data = self._queue.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(data, BaseException):
                raise data
            if data is None:
                self._queue.put(None)
                return 0
            self._rest = data
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        self._ended.set()
        super().close()

    def _pump(self, start: Callable[[], Iterable[bytes]]) -> None:
        try:
            with engine_errors(self._what):
                for data in start():
                    self._put(data)
                    if self._ended.is_set():
                        return
            self._put(None)
        except BaseException as error:  # `readinto` raises it
            self._put(error)

    def _put(self, item: bytes | BaseException | None) -> None:
        while not self._ended.is_set():
            try:
                self._queue.put(item, timeout=POLL_SECONDS)
                return
            except queue.Full:
                continue


def _unpack(what: str, stream: _EngineStream, blobs: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Write every file of the saved tar as a blob. Returns its `manifest.json` and name in the tar → digest."""
    listing: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=io.BufferedReader(stream, CHUNK_BYTES), mode="r|") as tar:
            for member in tar:
                if member.issym() or member.islnk():  # engines before 25 link a layer that occurs twice
                    links[member.name] = _link_target(member)
                    continue
                if not member.isfile():
                    continue
                source = tar.extractfile(member)
                assert source is not None
                if member.name == "manifest.json":
                    listing = json.loads(source.read())
                else:
                    names[member.name] = _write_blob(source, blobs)
    except tarfile.TarError as error:
        raise EngineError(what, f"the engine's response ended early ({error})", SLOW_REMEDY) from error
    for name, target in links.items():
        if target in names:
            names[name] = names[target]
    if not listing:
        raise XaivaError(
            "The engine's response to docker save", "it has no manifest.json", "use Docker Engine 20 or newer"
        )
    return listing, names


def _link_target(member: tarfile.TarInfo) -> str:
    if member.islnk():
        return member.linkname
    parts: list[str] = member.name.split("/")[:-1]
    for part in member.linkname.split("/"):
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/".join(parts)


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


def _digest_of(name: str, names: dict[str, str]) -> str:
    try:
        return names[name]
    except KeyError as error:
        raise XaivaError("The engine's response to docker save", f"it lacks {name}", "try again") from error


def _build_manifests(blobs: Path, tag: str, config: str, layers: list[str]) -> dict[str, str]:
    """Path → text: the OCI manifest, and the three files from which docker and OCI readers find it."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", config, blobs),
        "layers": [_descriptor(_layer_type(blobs / layer), layer, blobs) for layer in layers],
    }
    text = json.dumps(manifest, indent=1)
    digest = sha256_bytes(text.encode())
    reference = {
        "mediaType": manifest["mediaType"],
        "digest": f"sha256:{digest}",
        "size": len(text.encode()),
        "annotations": {
            "io.containerd.image.name": f"docker.io/{tag}",
            "org.opencontainers.image.ref.name": tag.rpartition(":")[2],
        },
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [reference]}
    paths = [f"blobs/sha256/{layer}" for layer in layers]
    return {
        f"blobs/sha256/{digest}": text,
        "index.json": json.dumps(index, indent=1) + "\n",
        "manifest.json": json.dumps([{"Config": f"blobs/sha256/{config}", "RepoTags": [tag], "Layers": paths}]) + "\n",
        "oci-layout": '{"imageLayoutVersion": "1.0.0"}\n',
    }


def _descriptor(media_type: str, digest: str, blobs: Path) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": (blobs / digest).stat().st_size}


def _layer_type(path: Path) -> str:
    with open(path, "rb") as file:
        magic = file.read(4)
    if magic.startswith(GZIP_MAGIC):
        return f"{LAYER_TYPE}+gzip"
    return f"{LAYER_TYPE}+zstd" if magic == ZSTD_MAGIC else LAYER_TYPE


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


def _tar_header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o644
    return entry.tobuf(tarfile.GNU_FORMAT)


def _folder_name(reference: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", reference.lower())
