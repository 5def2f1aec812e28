"""What every object storage offers, and what it says about an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Protocol

from core.errors import TransientError, XaivaError


class StorageDown(TransientError):
    """The storage does not answer, or answers with a fault that may pass: trying again later is worth it."""


class StorageRefused(XaivaError):
    """The storage refuses: wrong credentials, no such bucket, no permission."""


class KeyConflict(StorageRefused):
    """Something else has the name: a folder, a link, or a file where a folder must be."""


class NoObject(XaivaError):
    """There is no object with that key."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object. `etag` is opaque: equal means unchanged; it is no checksum."""

    key: str
    size: int
    etag: str
    modified: datetime | None


@dataclass(frozen=True)
class NameFinding:
    """An object or a name that cannot be used, and why."""

    key: str
    why: str


@dataclass(frozen=True)
class ObjectList:
    """A page of a listing. `cursor` asks for the next one; empty: this is the last."""

    entries: list[ObjectInfo | NameFinding]
    folders: list[str]
    """The folders directly below the prefix, each with `/` at its end; only of a listing of one level."""
    cursor: str = ""


class ObjectStorage(Protocol):
    """A bucket with a prefix, or a folder. Keys are relative to it. Thread-safe.

    Every method raises StorageDown, StorageRefused or XaivaError, and InputError for a key that cannot be used.
    """

    @property
    def shown(self) -> str:
        """Its address without credentials."""

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo | NameFinding]:
        """All objects below the prefix, in pages behind the scenes. A bad name is a finding and stops nothing.

        An error in the middle means that the listing is incomplete.
        """

    def list_page(self, prefix: str = "", *, cursor: str = "", limit: int = 1000, level: bool = False) -> ObjectList:
        """At most `limit` objects and folders below the prefix; with `level` only those directly below it."""

    def create_folder(self, prefix: str) -> None:
        """Make `prefix/` show up in listings although it is empty."""

    def upload_file(self, key: str, source: Path) -> ObjectInfo:
        """Store a file, replacing an object of that key in one step."""

    def download_file(self, key: str, target: Path) -> ObjectInfo:
        """Fetch an object into a file, whole or not at all. Raises NoObject."""

    def stat_object(self, key: str) -> ObjectInfo:
        """What the object is now, without its content. Raises NoObject."""

    async def fetch_object(self, info: ObjectInfo, part: BinaryIO, count: Callable[[int], None]) -> ObjectInfo:
        """Write the object into an open, empty file, and tell `count` of every piece: bytes, negative for a new start.

        Returns what was fetched: the object may have been replaced since it was listed. Raises NoObject.
        """

    def delete_file(self, key: str) -> None:
        """Delete an object; one that does not exist is fine."""

    def get_url(self, key: str, expires: timedelta) -> str:
        """An address that gives the object to anybody until it expires.

        That of a folder is a path of the service, which the caller puts behind the service's address.
        """

    def local_path(self, key: str) -> Path | None:
        """Where the object lies on this machine, to be read only; None where it must be fetched first."""

    def open_local(self, key: str) -> tuple[BinaryIO, ObjectInfo] | None:
        """The object's own file, open for reading, which the caller closes; None where it must be fetched first.

        Unlike `local_path` it checks the key and follows no link. Raises NoObject.
        """
