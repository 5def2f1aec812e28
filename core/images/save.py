"""Takes an image out of the engine as blobs, without a second copy on disk: the saving side of `delivery.py`."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol

from core.artifacts.engine_archive import EngineReader, read_saved_image, saved_digest
from core.artifacts.image_layout import MAGIC_BYTES, LayoutBlob, oci_manifest
from core.engine import EngineError, connect_with_long_timeout, engine_errors
from core.engine_image import inspect_image
from core.errors import XaivaError
from core.files import CHUNK_BYTES, sha256_bytes
from core.images.image_blobs import MAX_DOCUMENT_BYTES, DeliveredImage
from core.progress import Progress
from core.site import Site

if TYPE_CHECKING:
    import docker

DIGEST_NAMES_SINCE = 25  # the first engine that names the blobs of an archive by their digests
_BLOB_NAME = re.compile(r"blobs/sha256/([0-9a-f]{64})")


@dataclass(frozen=True)
class SavedBuild:
    """An image of the engine, all of whose blobs but its manifest went to the sink."""

    image: DeliveredImage
    manifest: bytes
    """The OCI manifest, made of what the image has on its one platform. Its digest is `image.manifest`."""
    sizes: dict[str, int]
    """Digest → size of every blob, with the manifest."""


class BlobStream(Protocol):
    """A blob that is read once."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, fewer only at the end; instead of the last ones XaivaError if the hash differs."""


class BlobSink(Protocol):
    """Where blobs go."""

    def has(self, sha256: str) -> bool:
        """Whether it has that blob already, so that it is not written again."""

    def write(self, sha256: str, size: int, stream: BlobStream) -> None:
        """Take a blob of `size` bytes."""


def save_built_image(site: Site, tag: str, sink: BlobSink, progress: Progress) -> SavedBuild:
    """Give every blob of image `tag` that `sink` lacks to it, but the manifest, which is made here.

    Raises EngineError when the engine has no such image, Cancelled, and what the sink raises. An image index with
    several platforms may give the sink layers of another platform, too.
    """
    with closing(connect_with_long_timeout(site)) as client:
        if inspect_image(client, tag) is None:
            raise EngineError(f"Image {tag}", "the engine does not have it", "build it first: xaiva build PRESET")
        saver = _Saver(client, tag, sink, progress)
        if not saver.has_digests():
            saver.hash_first()
        return saver.save()


class _Saver:
    """Reads the archive of one image."""

    def __init__(self, client: docker.DockerClient, tag: str, sink: BlobSink, progress: Progress) -> None:
        self._client, self._tag, self._sink, self._progress = client, tag, sink, progress
        self._names: dict[str, str] = {}  # name in the archive → digest, for engines whose names do not have it
        self._blobs: dict[str, LayoutBlob] = {}
        self._documents: dict[str, bytes] = {}  # which of them is the configuration is known at the end

    def hash_first(self) -> None:
        """Read the archive once more before, because the names of its blobs do not tell their digests."""
        listing, names = self._read(lambda _name, _size, stream: _drain(stream))
        needed = {saved_digest(name, names) for name in (listing[0]["Config"], *listing[0]["Layers"])}
        self._names = {name: sha256 for name, sha256 in names.items() if sha256 in needed}

    def has_digests(self) -> bool:
        """Whether the engine names blobs by their digests."""
        with engine_errors("Engine's version"):
            version = re.match(r"\d+", str(self._client.version().get("Version")))
        return version is not None and int(version[0]) >= DIGEST_NAMES_SINCE

    def save(self) -> SavedBuild:
        """Read the archive."""
        listing, names = self._read(self._take)
        entry = listing[0]
        config = saved_digest(entry["Config"], names)
        layers = [saved_digest(name, names) for name in entry["Layers"]]
        for sha256 in {config, *layers} & self._documents.keys():
            if not self._sink.has(sha256):
                content = self._documents[sha256]
                self._sink.write(sha256, len(content), io.BytesIO(content))
        manifest = oci_manifest(self._blobs[config], [self._blobs[layer] for layer in layers])
        digest = sha256_bytes(manifest)
        image = DeliveredImage(self._tag, config, digest, tuple(layers), _platform(self._documents[config]))
        sizes = {sha256: self._blobs[sha256].size for sha256 in (config, *layers)}
        return SavedBuild(image, manifest, {**sizes, digest: len(manifest)})

    def _read(self, write: Callable[[str, int, IO[bytes]], str]) -> tuple[list[dict[str, Any]], dict[str, str]]:
        what = f"Saving {self._tag}"
        image = self._client.images.get(self._tag)
        with EngineReader(what, lambda: image.save(CHUNK_BYTES, named=self._tag), self._progress) as stream:
            return read_saved_image(what, stream, write)

    def _take(self, name: str, size: int, source: IO[bytes]) -> str:
        """Keep a document, and give anything else to the sink: what a layer is, is known only at the end."""
        match = None if self._names else _BLOB_NAME.fullmatch(name)
        sha256 = match[1] if match else self._names.get(name, "")
        if not sha256:
            return _drain(source)
        stream = _CheckedStream(self._tag, sha256, size, source)
        magic = stream.peek(MAGIC_BYTES)
        self._blobs[sha256] = LayoutBlob(sha256, size, magic)
        if magic.startswith(b"{") and size <= MAX_DOCUMENT_BYTES:
            self._documents[sha256] = stream.read(size)
        elif self._sink.has(sha256):
            _drain(stream)
        else:
            self._sink.write(sha256, size, stream)
        return sha256


class _CheckedStream:
    """A blob's bytes, the last of which come only if the hash is right."""

    def __init__(self, tag: str, sha256: str, size: int, source: IO[bytes]) -> None:
        self._tag, self._sha256, self._rest, self._source = tag, sha256, size, source
        self._digest = hashlib.sha256()
        self._pushed_back = b""

    def peek(self, size: int) -> bytes:
        """The first bytes, which `read` gives again."""
        self._pushed_back = self._source.read(size)
        return self._pushed_back

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        count = self._rest if size < 0 else min(size, self._rest)
        first, self._pushed_back = self._pushed_back[:count], self._pushed_back[count:]
        data = first + self._source.read(count - len(first))
        self._digest.update(data)
        self._rest -= len(data)
        if len(data) < count or (not self._rest and self._digest.hexdigest() != self._sha256):
            why = f"the engine's image store is damaged: the content of sha256:{self._sha256} has another hash"
            raise XaivaError(f"Saving {self._tag}", why, "build or load the image again")
        return data


def _drain(stream: BlobStream) -> str:
    """Read to the end; returns the SHA-256."""
    digest = hashlib.sha256()
    while data := stream.read(CHUNK_BYTES):
        digest.update(data)
    return digest.hexdigest()


def _platform(config: bytes) -> str:
    fields = json.loads(config)
    return "/".join(str(fields[name]) for name in ("os", "architecture", "variant") if fields.get(name))
