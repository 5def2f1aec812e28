"""The data model of what an engine holds: frozen snapshots. Times are Unix times in seconds, sizes are bytes.

None is a value that the engine does not give, or has not given yet; it never means 0.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import ClassVar

from core import labels
from core.containers.model import FrozenModel
from core.open_enum import OpenEnum

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")  # the name that an engine makes up for a volume
_BUILT_IN_NETWORKS = ("bridge", "host", "none", "podman")


class ObjectKind(str, Enum):
    """What an object of the engine is."""

    IMAGE = "image"
    VOLUME = "volume"
    NETWORK = "network"
    CACHE = "cache"


class CacheType(OpenEnum):
    """The type of a record of the build cache, in BuildKit's words."""

    REGULAR = "regular"
    LOCAL = "source.local"
    GIT = "source.git.checkout"
    MOUNT = "exec.cachemount"
    FRONTEND = "frontend"
    INTERNAL = "internal"


class ContainerUse(FrozenModel):
    """A container that uses an object, whether it runs or not."""

    container: str
    """Its name."""
    id: str
    running: bool
    how: str = ""
    """Where it mounts a volume, or its address in a network."""


class EngineObject(FrozenModel):
    """One object of the engine."""

    kind: ClassVar[ObjectKind]
    id: str
    name: str
    created: float | None = None
    size: int | None = None
    labels: dict[str, str] = {}
    used_by: list[ContainerUse] = []
    unreadable: str = ""
    """What in the engine's description cannot be read; empty when all of it can."""

    @property
    def key(self) -> str:
        """Identifies it among all objects of the engine, such as `image:sha256:…`."""
        return f"{self.kind.value}:{self.id}"

    @property
    def unused(self) -> bool:
        """Whether nothing uses it, as far as the engine says."""
        return not self.used_by and not self.unreadable


class Image(EngineObject):
    """An image. `size` counts all its layers, also those that other images share."""

    kind = ObjectKind.IMAGE
    tags: list[str] = []
    digests: list[str] = []
    shared_size: int | None = None

    @property
    def unique_size(self) -> int | None:
        """The size of the layers that no other image has."""
        return None if self.size is None or self.shared_size is None else max(self.size - self.shared_size, 0)

    @property
    def dangling(self) -> bool:
        """Whether it has no tag: a newer build took it, or it was never given one."""
        return not self.tags and not self.unreadable

    @property
    def preset(self) -> str:
        """The preset it was built from, empty for an image that xaiva did not build."""
        return self.labels.get(labels.PRESET, "")

    @property
    def lock_sha256(self) -> str:
        """The hash of the lock it was built from, empty when unknown."""
        return self.labels.get(labels.LOCK_SHA256, "")

    @property
    def build(self) -> str:
        """The id of the build that made it, empty when unknown."""
        return self.labels.get(labels.BUILD_ID, "")


class Volume(EngineObject):
    """A volume."""

    kind = ObjectKind.VOLUME
    driver: str = ""
    mountpoint: str = ""
    scope: str = ""
    options: dict[str, str] = {}

    @property
    def anonymous(self) -> bool:
        """Whether the engine made up its name."""
        return bool(_ANONYMOUS.fullmatch(self.name))


class Network(EngineObject):
    """A network. It has no size."""

    kind = ObjectKind.NETWORK
    driver: str = ""
    scope: str = ""
    internal: bool = False
    """Whether it leads nowhere outside the engine."""
    subnets: list[str] = []
    gateways: list[str] = []
    options: dict[str, str] = {}

    @property
    def built_in(self) -> bool:
        """Whether the engine itself made it."""
        return self.name in _BUILT_IN_NETWORKS


class CacheRecord(EngineObject):
    """A record of the build cache; `name` is the build step that made it."""

    kind = ObjectKind.CACHE
    type: CacheType = CacheType.REGULAR
    in_use: bool = False
    """Whether a build uses it now."""
    shared: bool = False
    """Whether images or other records have the same data, so that removing it frees nothing."""
    last_used: float | None = None
    usage_count: int | None = None
    parents: list[str] = []

    @property
    def unused(self) -> bool:
        """Whether no build uses it now and nothing shares its data."""
        return not self.in_use and not self.shared and not self.unreadable


class Inventory(FrozenModel):
    """Everything that an engine holds besides containers."""

    images: list[Image]
    volumes: list[Volume]
    networks: list[Network]
    cache: list[CacheRecord] | None = None
    """None until the engine has been asked for its disk usage."""

    def objects(self, kind: ObjectKind | None = None) -> list[EngineObject]:
        """All objects, or those of one kind."""
        everything: list[EngineObject] = [*self.images, *self.volumes, *self.networks, *(self.cache or [])]
        return [item for item in everything if kind in (None, item.kind)]


class DiskUsage(FrozenModel):
    """The engine's answer about its disk; a part that it was not asked for or does not give is None."""

    layers: int | None = None
    """All layers of all images, each counted once."""
    shared_sizes: dict[str, int | None] | None = None
    """By image id."""
    volume_sizes: dict[str, int | None] | None = None
    """By volume name."""
    containers: int | None = None
    """What all containers have written into themselves."""
    cache: list[CacheRecord] | None = None


class KindTotal(FrozenModel):
    """The number and size of all objects of a kind, and of those that nothing uses. None is unknown."""

    kind: ObjectKind
    count: int | None
    size: int | None
    """Of those whose size is known."""
    unmeasured: int = 0
    """How many have an unknown size."""
    unused: int | None
    unused_size: int | None
    """None if the size of one of them is unknown."""


class ImageLayer(FrozenModel):
    """One step of an image's history, newest first; most steps have no size."""

    created_by: str
    size: int | None
    created: float | None
