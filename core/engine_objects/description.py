"""Describes an engine: product and version, where it runs and where it keeps its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.containers.model import FrozenModel
from core.engine import engine_errors, resolve_endpoint

if TYPE_CHECKING:
    import docker
    from core.site import Site

_DOCKER = ("Engine", "Docker Engine")  # what Docker's own engine calls itself


class EngineDescription(FrozenModel):
    """An engine and its machine. An empty text or None is a value that the engine does not give."""

    host: str
    """Its address."""
    named_by: str
    """The setting that the address comes from, such as `DOCKER_HOST`."""
    product: str = ""
    version: str = ""
    api_version: str = ""
    machine: str = ""
    """The name of the machine it runs on."""
    os: str = ""
    kernel: str = ""
    architecture: str = ""
    cpus: int | None = None
    memory: int | None = None
    """Bytes."""
    root_dir: str = ""
    """The folder on its machine with its images, volumes and containers."""
    storage_driver: str = ""
    runtimes: list[str] = []
    containers: int | None = None
    running: int | None = None
    warnings: list[str] = []
    """What the engine itself warns about."""


def describe_engine(site: Site, client: docker.DockerClient) -> EngineDescription:
    """The site's engine. Raises EngineError."""
    with engine_errors("Engine's description"):
        version: dict[str, Any] = client.version()
        info: dict[str, Any] = client.info()
    endpoint = resolve_endpoint(site)
    return EngineDescription(
        host=endpoint.host,
        named_by=endpoint.named_by,
        product=_product(version),
        version=str(version.get("Version") or ""),
        api_version=str(version.get("ApiVersion") or ""),
        machine=str(info.get("Name") or ""),
        os=str(info.get("OperatingSystem") or ""),
        kernel=str(info.get("KernelVersion") or ""),
        architecture=str(info.get("Architecture") or ""),
        cpus=_number(info.get("NCPU")),
        memory=_number(info.get("MemTotal")),
        root_dir=str(info.get("DockerRootDir") or ""),
        storage_driver=str(info.get("Driver") or ""),
        runtimes=sorted(info.get("Runtimes") or []),
        containers=_number(info.get("Containers")),
        running=_number(info.get("ContainersRunning")),
        warnings=[str(warning) for warning in info.get("Warnings") or []],
    )


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _product(version: dict[str, Any]) -> str:
    """The engine's own name: the platform's, else that of its first component."""
    platform = version.get("Platform")
    if isinstance(platform, dict) and platform.get("Name"):
        return str(platform["Name"])
    components = version.get("Components")
    names = [part.get("Name") for part in components if isinstance(part, dict)] if isinstance(components, list) else []
    return "Docker Engine" if not names or names[0] in _DOCKER else str(names[0])
