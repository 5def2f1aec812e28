"""The model of `lock.json`: the exact files of a preset for its target platform."""

from __future__ import annotations

from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class FileKind(str, Enum):
    """What a locked file is."""

    WHEEL = "wheel"
    DEB = "deb"
    SOURCE = "source"
    MODEL = "model"
    IMAGE = "image"


class Locked(BaseModel):
    """Frozen, and strict about keys: a lock of a newer xaiva must not be half understood."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LockedFile(Locked):
    """One file: `path` is relative to `artifacts/<preset>/`, `size` in bytes.

    `url` says where it comes from: http(s) for a download, `file:` for a local file or snapshot, `git+` for a
    repository at `#<commit>`, `docker:` for a blob of the base image, `wheel:` for a wheel built from this checkout.
    It never holds a secret: `token_variable` and `username_variable` name variables of `.env`. `index` is the Python
    index that named a wheel; empty for a local file, and in locks of before it was noted.
    """

    path: str
    size: int
    sha256: str
    kind: FileKind
    url: str
    name: str = ""
    version: str = ""
    token_variable: str | None = None
    username_variable: str | None = None
    index: str = ""

    def under(self, folder: Path) -> Path:
        """Where the file lies in the artifacts folder."""
        return folder / PurePosixPath(self.path)


class LockedLayer(Locked):
    """One build layer: its requirement file and wheels (paths of `Lock.files`), in build order.

    `asked` are the requirements as the preset has them.
    """

    name: str
    requirements: str
    wheels: list[str]
    asked: list[str] = []


class LockedImage(Locked):
    """A base image. Two digests, because the engine's image stores name an image differently.

    `folder` holds an OCI layout plus `manifest.json` (paths of `Lock.files`); `tag` is the local tag under
    which it is loaded: `xaiva-base/<repository>:<12 hex of config_digest>`.
    """

    reference: str
    tag: str
    config_digest: str
    manifest_digest: str = ""
    platform: str = "linux/amd64"
    os_release: str = ""
    python: str = ""
    folder: str = ""


class Unlocked(Locked):
    """Something the preset asks for that could not be locked, and the way out."""

    what: str
    why: str
    remedy: str

    @property
    def summary(self) -> str:
        """What and why, without the remedy."""
        return f"{self.what}: {self.why}" if self.why else self.what


class Lock(Locked):
    """`lock.json`. It holds no time and no host: the same preset and indexes give the same bytes."""

    version: Literal[1] = 1
    preset: str
    preset_sha256: str
    platform: str = "x86_64-manylinux_2_28"
    python_version: str
    python_from: str = Field(default="debs", pattern="^(debs|source)$")
    base_image: LockedImage
    runtime_base_image: LockedImage | None = None
    layers: list[LockedLayer] = []
    debs: list[str] = []  # deb files for the runtime and every stage above it, in `debs/`
    build_debs: list[str] = []  # deb files for the builder stage alone, in `build-debs/`
    files: list[LockedFile] = []
    unlocked: list[Unlocked] = []
    shared: dict[str, list[str]] = {}  # package that no index is bound to → the indexes that have it, its own first
    deb_fields: dict[str, dict[str, str]] = {}  # path of a deb → the fields of its stanza in `Packages`
    inputs: dict[str, str] = {}  # part → SHA-256 of what was asked for: an unchanged part keeps its files

    def by_path(self) -> dict[str, LockedFile]:
        """The files by their path."""
        return {file.path: file for file in self.files}

    def of_kind(self, kind: FileKind) -> list[LockedFile]:
        """The files of one kind, in the lock's order."""
        return [file for file in self.files if file.kind is kind]
