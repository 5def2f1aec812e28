"""The data model of a shipment: its manifest, which is signed, and its index, which the manifest names by its hash.

Layout of a medium:

    START-HERE.txt, xaiva, SHA256SUMS     for the person who holds it; the manifest has the hashes of the first two
    blobs/sha256/ab/<hex>                 every content once, for all shipments; `<hex>.new` until it is complete
    shipments/<id>/manifest.json          the signed text
    shipments/<id>/manifest.sig           its signature, of `ssh-keygen -Y sign`
    shipments/<id>/index.json, …          the documents that the manifest names

A file that is longer than a part is stored as several blobs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import Self

from core.errors import InputError
from core.open_enum import OpenEnum
from core.strict_json import unique_keys
from core.terminal_text import escape_invisible
from core.validation_errors import first_problem

FORMAT = 1
PART_BYTES = 1 << 30  # of a stored blob at most; FAT32 holds files of up to 2**32 - 1 bytes
BLOBS = "blobs/sha256"
SHIPMENTS = "shipments"
UNFINISHED = ".new"  # the suffix of a file until it is complete and durable
MANIFEST, SIGNATURE, INDEX, CONSOLE_LIST = "manifest.json", "manifest.sig", "index.json", "console.list"
SITE_FOLDERS = ("presets", "artifacts", "docker")  # where a shipment may put files below a site

MAX_MANIFEST_BYTES = 4 << 20
MAX_DOCUMENT_BYTES = 256 << 20
MAX_FILES = 1_000_000
MAX_FILE_BYTES = 1 << 44
_MAX_PATH_BYTES = 900
_MAX_NAME_BYTES = 255
_MAX_DEPTH = 30

ModelT = TypeVar("ModelT", bound=BaseModel)


def _safe_path(path: str) -> str:
    parts = path.split("/")
    if parts[0] not in SITE_FOLDERS or len(parts) < 2:
        raise ValueError(f"a shipment may only put files into {', '.join(SITE_FOLDERS)}")
    if len(parts) > _MAX_DEPTH or len(path.encode()) > _MAX_PATH_BYTES:
        raise ValueError("the path is too long")
    for part in parts:
        if part in ("", ".", "..") or len(part.encode()) > _MAX_NAME_BYTES:
            raise ValueError("the path has a part that is empty, . or .., or too long")
        if "\\" in part or escape_invisible(part) != part or not part.isprintable():
            raise ValueError("the path has a character that file names must not have")
    return path


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the time has no time zone")
    return moment.astimezone(timezone.utc)


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
SitePath = Annotated[str, AfterValidator(_safe_path)]
_SHIPMENT_ID = "[0-9]{8}-[0-9]{6}-[0-9a-f]{6}"
ShipmentId = Annotated[str, Field(pattern=f"^{_SHIPMENT_ID}$")]
PlainName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
ImageTag = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._/-]{0,200}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})$")]


class _Part(BaseModel):
    """Refuses unknown keys: a shipment of a newer format must not be misread."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Kind(OpenEnum):
    """What a file of a shipment is."""

    PRESET = "preset"
    ARTIFACT = "artifact"
    SITE = "site"
    """A file of the site itself: the Dockerfile template, compatibility rows."""


class Blob(_Part):
    """One stored blob: its name is its SHA-256."""

    sha256: Sha256
    size: Size


class Content(Blob):
    """The bytes of a file: one blob, or several parts that follow each other."""

    parts: list[Blob] = []

    def blobs(self) -> list[Blob]:
        """The stored blobs, in order."""
        return self.parts or [Blob(sha256=self.sha256, size=self.size)]

    @model_validator(mode="after")
    def _parts_are_whole(self) -> Self:
        if self.parts and sum(part.size for part in self.parts) != self.size:
            raise ValueError("its parts do not add up to its size")
        if any(part.size >= 1 << 32 for part in self.blobs()):
            raise ValueError("a blob is longer than 4 GiB")
        return self


class CarriedFile(_Part):
    """A file that goes to a path below the site."""

    path: SitePath
    kind: Kind
    sha256: Sha256
    """Names a `Content` of the index."""
    preset: str = ""
    """The preset that it belongs to; empty for none."""


class CarriedImage(_Part):
    """An image that the site's engine gets. Its blobs are contents of the index."""

    tag: ImageTag
    config: Sha256
    """The digest of its configuration, which is its identity."""
    manifest: Sha256
    """The digest of its OCI manifest; the blob is stored, too."""
    layers: list[Sha256]
    platform: str = "linux/amd64"

    def blobs(self) -> list[str]:
        """The digests of everything that it needs."""
        return [self.manifest, self.config, *self.layers]


class Index(_Part):
    """`index.json`: every content of a shipment once, and what it is for."""

    contents: list[Content] = Field(max_length=MAX_FILES)
    files: list[CarriedFile] = Field(default=[], max_length=MAX_FILES)
    images: list[CarriedImage] = Field(default=[], max_length=10_000)
    at_site: list[Sha256] = Field(default=[], max_length=MAX_FILES)
    """Contents that the medium need not hold, because the report of the site that it is for has them."""

    def by_sha256(self) -> dict[str, Content]:
        """SHA-256 → content."""
        return {content.sha256: content for content in self.contents}

    def needed_blobs(self) -> dict[str, int]:
        """Name → size of the blobs that the medium has to hold."""
        skipped = set(self.at_site)
        return {
            blob.sha256: blob.size
            for content in self.contents
            if content.sha256 not in skipped
            for blob in content.blobs()
        }

    @model_validator(mode="after")
    def _is_closed(self) -> Self:
        """Everything that is referred to is listed, and no two files need one place."""
        known = self.by_sha256()
        if len(known) != len(self.contents):
            raise ValueError("a content is listed twice")
        for name in self._referred():
            if name not in known:
                raise ValueError(f"{name} is used, but not listed")
        paths = {file.path for file in self.files}
        if len(paths) != len(self.files):
            raise ValueError("two files have one path")
        for path in paths:
            for folder in PurePosixPath(path).parents:
                if folder.as_posix() in paths:
                    raise ValueError(f"{folder} is a file and a folder")
        return self

    def _referred(self) -> Iterator[str]:
        yield from (file.sha256 for file in self.files)
        yield from self.at_site
        for image in self.images:
            yield from image.blobs()


class Manifest(_Part):
    """`manifest.json`, the signed text. The signature vouches for everything that it names by hash."""

    format: Literal[1] = 1
    shipment: ShipmentId
    created: Annotated[datetime, AfterValidator(_utc)]
    """By the clock of the office."""
    office: str = Field(default="", max_length=200)
    """Who packed it, and where: `user@host`."""
    xaiva: str = Field(max_length=50)
    """The version that packed it."""
    previous: str = Field(default="", max_length=100)
    """The newest shipment that lay on the medium before."""
    presets: list[str] = Field(default=[], max_length=10_000)
    documents: dict[PlainName, Blob] = Field(max_length=50)
    """The other files of the shipment's folder."""
    root: dict[PlainName, Blob] = Field(default={}, max_length=50)
    """Files in the medium's top folder."""
    signers: str = Field(default="", max_length=100_000)
    """Lines of an allowed-signers file: the keys that the site trusts from now on."""
    revoked: list[str] = Field(default=[], max_length=1000)
    """Fingerprints (`SHA256:…`) that the site trusts no longer."""

    @model_validator(mode="after")
    def _has_index(self) -> Self:
        if INDEX not in self.documents:
            raise ValueError(f"it names no {INDEX}")
        if {MANIFEST, SIGNATURE} & self.documents.keys():
            raise ValueError(f"{MANIFEST} and {SIGNATURE} cannot be documents")
        return self


def document_text(model: BaseModel) -> bytes:
    """The text of a manifest or an index: one key a line, so that a shell script finds a value."""
    data = model.model_dump(mode="json", exclude_defaults=True)
    if isinstance(model, Manifest):
        data = {"format": model.format, **data}
    return (json.dumps(data, indent=1, ensure_ascii=True) + "\n").encode()


def read_document(model: type[ModelT], text: bytes, name: str) -> ModelT:
    """Parse `manifest.json` or `index.json`. Raises InputError naming the file and the field."""
    try:
        data = json.loads(text, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise InputError(name, f"it is not valid JSON: {error}", _OTHER_REMEDY) from error
    found = data.get("format") if isinstance(data, dict) else None
    if model is Manifest and found != FORMAT:
        why = f"it has format {found!r}, and this xaiva reads format {FORMAT}"
        raise InputError(name, why, "use the xaiva that lies on this medium, or a newer one")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        field, why = first_problem(error)
        raise InputError(f"{name}: {field or 'content'}", why, _OTHER_REMEDY) from error


_OTHER_REMEDY = "pack it again; nothing was taken from it"


def blob_path(sha256: str) -> str:
    """Where a blob lies on a medium. A FAT32 folder holds about 10,900 such names, so that there is one per byte."""
    return f"{BLOBS}/{sha256[:2]}/{sha256}"


def is_blob_name(name: str) -> bool:
    """Whether a file of the store has a blob's final name."""
    return re.fullmatch("[0-9a-f]{64}", name) is not None


def is_shipment_id(name: str) -> bool:
    """Whether a folder has the name of a shipment: the time at which it was packed, and six random digits."""
    return re.fullmatch(_SHIPMENT_ID, name) is not None


def unique_contents(contents: Iterable[Content]) -> list[Content]:
    """Each content once, sorted by its hash."""
    return [content for _, content in sorted({content.sha256: content for content in contents}.items())]
