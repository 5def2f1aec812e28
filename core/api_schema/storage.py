"""Object storage: what lies in the bucket or folder of pictures."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.api_schema.base import ONE_VISIBLE_LINE, RequestModel, ResponseModel, Timestamp

MOST_URL_DAYS = 7  # how long an address without a login may be valid: the limit of S3
ObjectKey = Annotated[str, Field(min_length=1, max_length=1024)]


class StoredObject(ResponseModel):
    """One object. `etag` is opaque: it changes when the content does, and is no checksum."""

    key: str
    size: int
    """Bytes."""
    etag: str = ""
    modified: Timestamp | None = None


class StorageFinding(ResponseModel):
    """An object or a name that cannot be used, and why."""

    key: Annotated[str, ONE_VISIBLE_LINE]
    why: Annotated[str, ONE_VISIBLE_LINE]


class ObjectPage(ResponseModel):
    """Objects below a prefix, and the folders directly below it, sorted by key."""

    objects: list[StoredObject]
    folders: list[str] = []
    findings: list[StorageFinding] = []
    next: str = ""
    """The cursor of the following page; empty: this is the last one."""


class SignedUrlRequest(RequestModel):
    """Asks for an address that gives an object to anybody."""

    key: ObjectKey
    seconds: Annotated[int, Field(ge=1, le=MOST_URL_DAYS * 24 * 3600)] = 3600
    """How long it is valid."""


class SignedUrl(ResponseModel):
    """An address that gives the object to anybody until it expires."""

    url: str
    """A path and query, beginning with `/`, are those of the service itself."""
    expires: Timestamp


class ObjectStorageStatus(ResponseModel):
    """Where pictures come from, and whether it answers."""

    url: Annotated[str, ONE_VISIBLE_LINE]
    """Without credentials."""
    why: Annotated[str, ONE_VISIBLE_LINE] = ""
    """Why it cannot be read; empty: it can."""
