"""The data model of `lock.json`: the exact files of a preset for its target platform."""

from __future__ import annotations

from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FileKind(str, Enum):
    """The kind of a locked file."""

    WHEEL = "wheel"
    DEB = "deb"
    SOURCE = "source"
    MODEL = "model"
    IMAGE = "image"


class Locked(BaseModel):
    """Refuses unknown keys: a lock of a newer xaiva must not be misread."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LockedFile(Locked):
    """One file of the artifacts folder."""

    path: str
    """Relative to `artifacts/<preset>/`."""
    size: int
    """In bytes."""
    sha256: str
    kind: FileKind
    url: str
    """The origin, without secrets: http(s) for a download, `file:` for a local file or snapshot, `git+` for a
    repository at `#<commit>`, `docker:` for a blob of the base image, `wheel:` for a wheel built from this checkout."""
    name: str = ""
    version: str = ""
    token_variable: str | None = None
    """The variable of `.env` with the token for `url`; `username_variable` has the user name."""
    username_variable: str | None = None
    index: str = ""
    """The Python index that listed a wheel; empty for a local file, and in locks that predate this field."""

    def under(self, folder: Path) -> Path:
        """The file's path in the artifacts folder `folder`."""
        return folder / PurePosixPath(self.path)


class LockedLayer(Locked):
    """One layer of the build."""

    name: str
    requirements: str
    """Path of its requirement file."""
    wheels: list[str]
    """Paths of its wheels in `Lock.files`."""
    asked: list[str] = []
    """The requirements as the preset has them."""


class LockedImage(Locked):
    """A base image. It has two digests, because the engine's image stores identify an image differently."""

    reference: str
    tag: str
    """The local tag under which it is loaded: `xaiva-base/<repository>:<12 hex of config_digest>`."""
    config_digest: str
    manifest_digest: str = ""
    platform: str = "linux/amd64"
    os_release: str = ""
    """`ID VERSION_ID` of its distribution: `debian 12`."""
    python: str = ""
    """The version of its `/usr/bin/python3`."""
    folder: str = ""
    """Path of its OCI layout with `manifest.json`."""


class Unlocked(Locked):
    """A part of the preset that could not be locked: the thing, the cause, the remedy."""

    what: str
    why: str
    remedy: str

    @property
    def summary(self) -> str:
        """What and why, without the remedy."""
        return f"{self.what}: {self.why}" if self.why else self.what


class Lock(Locked):
    """`lock.json`. It has no time and no host name, so the same preset and indexes give the same bytes."""

    version: Literal[1] = 1
    preset: str
    preset_sha256: str
    platform: str = "x86_64-manylinux_2_28"
    python_version: str = ""  # empty: an image without Python
    python_from: str = Field(default="debs", pattern="^(debs|source)$")
    base_image: LockedImage
    runtime_base_image: LockedImage | None = None
    layers: list[LockedLayer] = []
    debs: list[str] = []  # deb files for the runtime and every stage above it, in `debs/`
    build_debs: list[str] = []  # deb files for the builder stage alone, in `build-debs/`
    files: list[LockedFile] = []
    unlocked: list[Unlocked] = []
    shared: dict[str, list[str]] = {}  # package bound to no index → URLs of the indexes that have it, its own first
    deb_fields: dict[str, dict[str, str]] = {}  # path of a deb → the fields of its stanza in `Packages`
    inputs: dict[str, str] = {}  # part → SHA-256 of its inputs: an unchanged part keeps its files

    def by_path(self) -> dict[str, LockedFile]:
        """Path → file, for all files of the lock."""
        return {file.path: file for file in self.files}

    def of_kind(self, kind: FileKind) -> list[LockedFile]:
        """The files of one kind, in the lock's order."""
        return [file for file in self.files if file.kind is kind]
