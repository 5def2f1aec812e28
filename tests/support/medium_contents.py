"""Contents that tests put on media, and how they look at them."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable

import pytest

from core.carry.medium import Medium
from core.carry.shipment import blob_path
from core.carry.target import OpenAt
from tests.support.media import EXFAT, EXT4, FAT32, NTFS

ALL_KINDS = pytest.mark.parametrize("kind", [EXFAT, FAT32, NTFS, EXT4], ids=lambda kind: kind.name)
BEHIND_FUSE = pytest.mark.parametrize("kind", [EXFAT, FAT32], ids=lambda kind: kind.name)

FOLDER = "shipments/20261130-120000-abcdef"


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(seed * 1000 + size).randbytes(size)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def path_of(data: bytes) -> str:
    return blob_path(sha256(data))


def opener(data: bytes) -> OpenAt:
    def open_at(offset: int) -> io.BytesIO:
        source = io.BytesIO(data)
        source.seek(offset)
        return source

    return open_at


class CutSource(io.BytesIO):
    """A source that calls `cut` once so many bytes were read."""

    def __init__(self, data: bytes, after: int, cut: Callable[[], None]) -> None:
        super().__init__(data)
        self._after = after
        self._cut = cut

    def readinto(self, buffer: object, /) -> int:
        if self.tell() >= self._after:
            self._cut()
        return super().readinto(buffer)  # type: ignore[call-overload, no-any-return]


def ignore(_: int) -> None:
    pass


def put(medium: Medium, data: bytes) -> str:
    medium.put(path_of(data), len(data), sha256(data), opener(data), ignore)
    return path_of(data)


def check(medium: Medium, *contents: bytes, suffix: str = "") -> dict[str, str]:
    blobs = {path_of(data) + suffix: (sha256(data), len(data)) for data in contents}
    return medium.check(blobs, ignore, lambda: False).problems
