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
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """The whole section as compose resolves it."""


@dataclass(frozen=True)
class Dependency:
    """One entry of `depends_on`."""

    condition: str
    """`service_started`, `service_healthy` or `service_completed_successfully`; a newer compose may have others."""
    required: bool = True


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
    profiles: tuple[str, ...] = ()
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """The whole section as compose resolves it. It may have secrets."""

    @property
    def preset(self) -> str:
        """The preset that makes its image; empty without one."""
        return self.extension.preset

    @property
    def has_health_check(self) -> bool:
        """Whether compose gives it a health check; its image may have one as well."""
        check = self.resolved.get("healthcheck") or {}
        return bool(check) and not check.get("disable")


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
