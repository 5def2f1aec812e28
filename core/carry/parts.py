"""Splits files that are longer than a part, because FAT32 holds no file of 4 GiB and a part is checked on one core."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import Buffer

from core.carry import target
from core.carry.contents import Source
from core.carry.shipment import PART_BYTES, Blob, Content
from core.errors import XaivaError, os_reason
from core.files import CHUNK_BYTES


@dataclass(frozen=True)
class Piece:
    """One blob to store, with where its bytes come from. `name` is the file, for messages."""

    blob: Blob
    name: str
    open_at: target.OpenAt


def pieces(source: Source) -> list[Piece]:
    """The blobs of a source whose content has its parts."""
    result, start = [], 0
    for blob in source.content.blobs():
        result.append(Piece(blob, source.name, _Slice(source, start, blob.size).open_at))
        start += blob.size
    return result


def with_parts(source: Source, on_bytes: Callable[[int], None], part_bytes: int = PART_BYTES) -> Source:
    """The source with the parts of its content; one that is no longer than a part is not read.

    Raises XaivaError when the file is not what its SHA-256 says.
    """
    if source.content.size <= part_bytes:
        return source
    whole, parts, size = hashlib.sha256(), [], 0
    try:
        with source.open_at(0) as stream:
            while part_size := min(part_bytes, source.content.size - size):
                part, left = hashlib.sha256(), part_size
                while left and (data := stream.read(min(CHUNK_BYTES, left))):
                    whole.update(data)
                    part.update(data)
                    left -= len(data)
                    on_bytes(len(data))
                if left:
                    break
                parts.append(Blob(sha256=part.hexdigest(), size=part_size))
                size += part_size
    except OSError as error:
        raise XaivaError(source.name, os_reason(error), "check the file and its disk") from error
    if whole.hexdigest() != source.content.sha256:
        raise XaivaError(source.name, "it is not the locked file", "repair the artifacts: xaiva sync PRESET")
    content = Content(sha256=source.content.sha256, size=size, parts=parts)
    return Source(content, source.name, source.open)


@dataclass(frozen=True)
class _Slice:
    source: Source
    start: int
    size: int

    def open_at(self, offset: int) -> target.Source:
        """The bytes of the slice from `offset` on."""
        stream = self.source.open_at(self.start + offset)
        is_last = self.start + self.size == self.source.content.size
        return stream if is_last else _Bounded(stream, self.size - offset)


class _Bounded(io.RawIOBase):
    """The first bytes of a stream."""

    def __init__(self, stream: io.BufferedIOBase, size: int) -> None:
        self.name = getattr(stream, "name", "")
        self._stream = stream
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        data = self._stream.read(min(self._left, len(memoryview(buffer))))
        memoryview(buffer)[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
