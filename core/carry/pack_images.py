"""Packs built images: the engine's layers go onto the medium as they come, without a copy on this machine's disk."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from typing_extensions import Buffer

from core.carry.secret_scan import ScannedStream, SecretFound
from core.carry.shipment import UNFINISHED, CarriedImage, Content, blob_path
from core.carry.target import Target
from core.files import sha256_bytes
from core.images.save import BlobStream, SavedBuild, save_built_image
from core.progress import ByteCounter, Progress
from core.site import Site


@dataclass
class PackedImages:
    """The images of a shipment, their contents, and how much was written for them."""

    images: list[CarriedImage] = field(default_factory=list)
    contents: dict[str, Content] = field(default_factory=dict)
    written_bytes: int = 0


def pack_images(
    site: Site,
    tags: Iterable[str],
    present: Mapping[str, Content],
    at_site: set[str],
    target: Target,
    progress: Progress,
) -> PackedImages:
    """Write what the medium lacks of these images; `present` are the contents that it has in parts.

    Raises EngineError, XaivaError, Cancelled.
    """
    packed = PackedImages()
    for tag in tags:
        with ByteCounter(progress, f"image {tag}", f"write image {tag}", 0) as counter:
            sink = _Sink(tag, {**present, **packed.contents}, at_site, target, counter)
            saved = save_built_image(site, tag, sink, progress)
            manifest = saved.manifest
            sink.write(sha256_bytes(manifest), len(manifest), io.BytesIO(manifest))
            target.flush()
        packed.images.append(_carried(saved))
        packed.contents |= {sha256: sink.content(sha256, size) for sha256, size in saved.sizes.items()}
        packed.written_bytes += sink.written
    return packed


class _Sink:
    """Writes the blobs of an image to the target, each once."""

    def __init__(
        self, tag: str, present: Mapping[str, Content], at_site: set[str], target: Target, counter: ByteCounter
    ) -> None:
        self._tag = tag
        self._contents = dict(present)
        self._at_site = at_site
        self._target = target
        self._counter = counter
        self._names = target.names()
        self.written = 0

    def has(self, sha256: str) -> bool:
        """Whether the engine need not give this blob."""
        return sha256 in self._at_site or sha256 in self._contents or blob_path(sha256) in self._names

    def write(self, sha256: str, size: int, stream: BlobStream) -> None:
        """Write a blob; parts of a long one get names of their own."""
        if self.has(sha256):
            return
        source = ScannedStream(f"Image {self._tag}", _AsSource(stream))
        try:
            self._contents[sha256] = self._target.put_stream(sha256, source, self._counter.add)
        except SecretFound:
            self._target.remove([f"{blob_path(sha256)}{UNFINISHED}"])
            raise
        self.written += size

    def content(self, sha256: str, size: int) -> Content:
        """How a blob of the image is stored."""
        return self._contents.get(sha256) or Content(sha256=sha256, size=size)


class _AsSource(io.RawIOBase):
    """A blob of the engine as a source that fills buffers."""

    def __init__(self, stream: BlobStream) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        data = self._stream.read(len(view))
        view[: len(data)] = data
        return len(data)


def _carried(saved: SavedBuild) -> CarriedImage:
    image = saved.image
    return CarriedImage(
        tag=image.tag,
        config=image.config,
        manifest=image.manifest,
        layers=list(image.layers),
        platform=image.platform,
    )
