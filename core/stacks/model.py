"""A stack as docker compose resolves it: its services, where their images come from, and what `x-xaiva` adds."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from core.containers.model import ContainerPort

EXTENSION = "x-xaiva"  # of a service
COMPOSE_FILE = "compose.yaml"
ALL_GPUS = -1
HEALTHY = "service_healthy"  # conditions of `depends_on`
COMPLETED = "service_completed_successfully"


class ImageOrigin(str, enum.Enum):
    """Where the image of a service comes from."""

    PRESET = "preset"
    BUILD = "build"
    READY = "ready-made"


class HealthProbe(BaseModel):
    """How to see from outside that a service works, where neither its image nor compose has a health check."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: Annotated[int, Field(ge=1, le=65535)]
    """The port inside the container."""
    path: str = ""
    """Of an HTTP request that is answered with a status below 400; empty: the port accepts connections."""


class ServiceExtension(BaseModel):
    """`x-xaiva` of a service: what compose has no word for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str = ""
    """The preset that makes its image."""
    vram_gib: Annotated[float, Field(gt=0)] | None = None
    """The VRAM that it needs on each of its GPUs, in GiB."""
    health: HealthProbe | None = None


@dataclass(frozen=True)
class BuildSection:
    """The `build` section of a service."""

    context: Path
    dockerfile: Path
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    """The further contexts that the Dockerfile may copy from: name → folder or address."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """The secrets of its steps: id → where buildx gets it from, as `src=PATH` or `env=NAME`."""
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """The whole section as compose resolves it."""

    @property
    def folders(self) -> dict[str, Path]:
        """The further contexts that are folders."""
        return {
            name: Path(place)
            for name, place in self.contexts.items()
            if not is_remote(place) and not place.startswith("service:")
        }


@dataclass(frozen=True)
class Dependency:
    """One entry of `depends_on`."""

    condition: str
    """`service_started`, `service_healthy` or `service_completed_successfully`; a newer compose may have others."""
    required: bool = True
    restart: bool = False
    """Whether the service is started again when the other one is replaced."""


@dataclass(frozen=True)
class VolumeUse:
    """One mount of a service."""

    kind: str
    """`volume`, `bind`, `tmpfs`, or another word of compose."""
    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class GpuRequest:
    """The GPUs of a service: so many of any, or those with these indices or UUIDs."""

    count: int = 0
    """ALL_GPUS for all of the machine."""
    ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Service:
    """One service."""

    name: str
    image: str
    """The reference of its image."""
    origin: ImageOrigin
    extension: ServiceExtension = field(default_factory=ServiceExtension)
    build: BuildSection | None = None
    depends_on: Mapping[str, Dependency] = field(default_factory=dict)
    ports: tuple[ContainerPort, ...] = ()
    volumes: tuple[VolumeUse, ...] = ()
    gpus: GpuRequest = field(default_factory=GpuRequest)
    scale: int = 1
    """How many containers of it run."""
    profiles: tuple[str, ...] = ()
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """The whole section as compose resolves it. It may have secrets."""

    @property
    def preset(self) -> str:
        """The preset that makes its image; empty without one."""
        return self.extension.preset

    @property
    def shares_with(self) -> frozenset[str]:
        """The services whose network, processes or shared memory it uses: of one container, by its id."""
        return frozenset(self.shared_parts.values())

    @property
    def shared_parts(self) -> dict[str, str]:
        """Key of compose → the service that has that part."""
        modes = {key: str(self.resolved.get(key) or "") for key in ("network_mode", "pid", "ipc")}
        return {key: mode.removeprefix("service:") for key, mode in modes.items() if mode.startswith("service:")}


@dataclass(frozen=True)
class Stack:
    """A folder with a compose file, resolved."""

    name: str
    folder: Path
    project: str
    """The name of the compose project: the label of its containers."""
    services: Mapping[str, Service]
    """In the order in which they start: each after those it depends on."""
    config_hashes: Mapping[str, str] = field(default_factory=dict)
    """Service → what compose puts into the label `com.docker.compose.config-hash` of its containers."""

    @property
    def file(self) -> Path:
        """Its compose file."""
        return self.folder / COMPOSE_FILE

    def context_name(self, build: BuildSection) -> str:
        """The folder of a build's context for messages: relative to the stack where it lies below it."""
        is_below = build.context.is_relative_to(self.folder)
        return str(build.context.relative_to(self.folder) if is_below else build.context)

    def origin_text(self, service: Service) -> str:
        """Where the image of a service comes from, in words."""
        if service.preset:
            return f"preset {service.preset}"
        return f"build of {self.context_name(service.build)}/" if service.build else "ready-made"

    def must_complete(self, name: str) -> bool:
        """Whether another service waits until this one has ended well."""
        return any(
            (dependency := service.depends_on.get(name)) and dependency.condition == COMPLETED
            for service in self.services.values()
        )


def is_remote(place: str) -> bool:
    """Whether a build context is not a folder: a repository, an archive or an image."""
    return "://" in place or place.startswith(("git@", "github.com/"))
