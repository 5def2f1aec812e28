"""An image as blobs that are named by their SHA-256, wherever they lie: in the artifacts, on a stick."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.errors import XaivaError, os_reason
from core.files import CHUNK_BYTES

MAX_DOCUMENT_BYTES = 4 << 20  # of a manifest or a configuration; registries refuse longer ones


class DamagedBlob(XaivaError):
    """A blob of an image cannot be read, or is not what its name says."""


class LayersMissing(XaivaError):
    """Layers of an image are neither in the source nor in the engine."""

    def __init__(self, tag: str, layers: Iterable[str]) -> None:
        self.layers = sorted(layers)
        names = ", ".join(f"sha256:{layer}" for layer in self.layers)
        why = f"layers of it are neither here nor in the engine: {names}"
        super().__init__(f"Image {tag}", why, "bring a copy that has all of its layers")


@dataclass(frozen=True)
class DeliveredImage:
    """An image that an engine is to have. Digests are 64 hexadecimal digits."""

    tag: str
    """Its name in the engine: `xaiva/demo:latest`."""
    config: str
    """The digest of its configuration, which is its identity."""
    manifest: str
    layers: tuple[str, ...]
    platform: str = "linux/amd64"

    @property
    def blobs(self) -> frozenset[str]:
        """The digests of everything that it needs."""
        return frozenset((self.manifest, self.config, *self.layers))

    @property
    def ids(self) -> frozenset[str]:
        """What an engine may call it: the configuration in the classic store, the manifest in containerd's."""
        return frozenset((f"sha256:{self.config}", f"sha256:{self.manifest}"))


class BlobSource(Protocol):
    """Where blobs are read from. Any thread may call it."""

    def size(self, sha256: str) -> int:
        """The size in bytes. Raises KeyError when there is no such blob."""

    def open(self, sha256: str, offset: int) -> Iterator[bytes]:
        """Its bytes from `offset` on. Raises OSError, or XaivaError when it knows more about the cause."""


class FolderSource:
    """The blobs of a folder, as `blobs/sha256` of an OCI layout."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def size(self, sha256: str) -> int:
        """The size of the file."""
        try:
            return (self._folder / sha256).stat().st_size
        except FileNotFoundError as error:
            raise KeyError(sha256) from error

    def open(self, sha256: str, offset: int) -> Iterator[bytes]:
        """The file's bytes."""
        with open(self._folder / sha256, "rb", buffering=0) as file:
            file.seek(offset)
            while data := file.read(CHUNK_BYTES):
                yield data


def verified_chunks(source: BlobSource, sha256: str) -> Iterator[bytes]:
    """The bytes of a whole blob. Nobody gets its end before its hash was compared. Raises DamagedBlob, XaivaError."""
    digest, pending = hashlib.sha256(), b""
    try:
        for data in source.open(sha256, 0):
            digest.update(data)
            if pending:
                yield pending
            pending = data
    except OSError as error:
        raise damaged_blob(sha256, f"it cannot be read: {os_reason(error)}") from error
    if digest.hexdigest() != sha256:
        raise damaged_blob(sha256, f"its content has the hash {digest.hexdigest()}")
    yield pending


def damaged_blob(sha256: str, why: str) -> DamagedBlob:
    """The error for a blob that cannot be used."""
    return DamagedBlob(f"Image data sha256:{sha256}", why, "copy it again from where it is good")


def read_document(source: BlobSource, sha256: str) -> bytes:
    """A manifest or a configuration. Raises DamagedBlob, also when there is none or it is too long; XaivaError."""
    size = _size(source, sha256)
    if size is None:
        raise damaged_blob(sha256, "it is missing")
    if size > MAX_DOCUMENT_BYTES:
        raise damaged_blob(sha256, f"it is {size} bytes long, too long for the description of an image")
    return b"".join(verified_chunks(source, sha256))


def diff_ids(source: BlobSource, image: DeliveredImage) -> list[str]:
    """The hashes of the uncompressed layers, by which engines list them. Raises DamagedBlob, XaivaError."""
    try:
        config: Any = json.loads(read_document(source, image.config))
        return [str(layer) for layer in config["rootfs"]["diff_ids"]]
    except (ValueError, LookupError, TypeError) as error:
        raise damaged_blob(image.config, "it is not the configuration of an image") from error


def absent_layers(source: BlobSource, image: DeliveredImage) -> set[str]:
    """The layers that the source does not have."""
    return {layer for layer in image.layers if _size(source, layer) is None}


def present_size(source: BlobSource, blobs: Iterable[str]) -> int:
    """The bytes of those of the blobs that the source has."""
    return sum(_size(source, sha256) or 0 for sha256 in blobs)


def _size(source: BlobSource, sha256: str) -> int | None:
    try:
        return source.size(sha256)
    except KeyError:
        return None
