"""What a plan starts from: the engine's images and containers of a stack, and its files, at one moment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import labels
from core.containers.gpu_access import GpuAccess, gpu_access
from core.containers.listing import list_containers
from core.containers.model import Container, format_host_ports
from core.containers.port_conflicts import port_holders
from core.engine import connect_engine, docker_environment, engine_errors, resolve_endpoint
from core.engine_image import image_labels, inspect_image
from core.errors import InputError, XaivaError
from core.files import sha256_bytes, write_atomic
from core.findings import Finding
from core.images.buildx import builder_name
from core.site import Site
from core.stacks.compose import shared_config_hashes
from core.stacks.context_files import HashCache
from core.stacks.fingerprint import Fingerprint, LabelledFingerprint, base_images, read_label, take_fingerprint
from core.stacks.gpu_checks import needs_gpu
from core.stacks.kept_containers import interrupted_services
from core.stacks.model import Stack, is_remote
from core.stacks.offline_checks import offline_findings
from core.telemetry.gpus import GpuSample, GpuSampler
from core.up.plan import Planner, UpRequest, UpStep

if TYPE_CHECKING:
    import docker


@dataclass(frozen=True)
class ImageState:
    """An image that the engine has."""

    id: str
    fingerprint: LabelledFingerprint | None = None
    volumes: tuple[str, ...] = ()
    """The folders that it keeps in volumes without a name."""


@dataclass(frozen=True)
class BuildState:
    """What a build of a service would be made of now, or why that is not known."""

    bases: tuple[str, ...] = ()
    fingerprint: Fingerprint | None = None
    built_files: Mapping[str, str] | None = None
    """The files of the image that the engine has; None when another machine built it."""
    error: XaivaError | None = None


@dataclass(frozen=True)
class Snapshot:
    """All that a plan needs to know. Everything is read before the plan is made, and nothing after."""

    images: Mapping[str, ImageState | None] = field(default_factory=dict)
    """Reference → the engine's image; None where it has none."""
    presets: Mapping[str, tuple[UpStep, ...]] = field(default_factory=dict)
    """Preset → the steps that lead to its image."""
    builds: Mapping[str, BuildState] = field(default_factory=dict)
    """Service → its build."""
    containers: Mapping[str, tuple[Container, ...]] = field(default_factory=dict)
    """Service → its containers, also of services that the stack no longer has."""
    taken_ports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Service → which of its ports something else uses, as sentences."""
    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    """Service → what in its files cannot work without a network."""
    gpus: GpuSample | None = None
    """The GPUs of the engine's machine; None when they are not known, or no service needs one."""
    gpu_access: GpuAccess = GpuAccess.UNKNOWN
    shared_hashes: Mapping[str, str] = field(default_factory=dict)
    """The configuration hashes of the services that use a part of the container of another service."""
    interrupted: frozenset[str] = frozenset()
    """The services whose replacement was killed while there was no second container."""
    builder: str = "default"
    """The engine's own builder."""


def observe(site: Site, stack: Stack) -> Snapshot:
    """Look at the engine and the files. Changes nothing. Raises EngineError, InputError."""
    env, endpoint = docker_environment(site), resolve_endpoint(site)
    with closing(connect_engine(site)) as client:
        everything = list_containers(client)
        containers = stack_containers(stack, everything)
        images = _Images(client)
        for service in stack.services.values():
            images.get(service.image)
        builds = _builds(site, stack, images)
        presets = _presets(site, stack, {image for state in builds.values() for image in state.bases}, client)
        sample, access = _gpus(client, stack, local=endpoint.local)
    return Snapshot(
        images=images.known,
        presets=presets,
        builds=builds,
        containers=containers,
        taken_ports=_taken_ports(stack, everything, containers, local=endpoint.local),
        findings={name: tuple(offline_findings(stack, service)) for name, service in stack.services.items()},
        gpus=sample,
        gpu_access=access,
        shared_hashes=shared_config_hashes(
            stack, env, {name: max(entries, key=lambda one: one.created).id for name, entries in containers.items()}
        ),
        interrupted=interrupted_services(site, stack.name),
        builder=builder_name(endpoint),
    )


def _gpus(client: docker.DockerClient, stack: Stack, *, local: bool) -> tuple[GpuSample | None, GpuAccess]:
    """The GPUs and how containers get them, if a service needs one. Those of another machine are not known."""
    if not any(needs_gpu(service) for service in stack.services.values()):
        return None, GpuAccess.UNKNOWN
    with engine_errors("Engine's description"):
        access = gpu_access(client.info(), local=local)
    if not local:
        return None, access
    with GpuSampler() as sampler:
        return sampler.sample(), access


class _Images:
    """The images of an engine, each asked for once, and what builds them."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client
        self._labels: dict[str, dict[str, str]] = {}
        self._descriptions: dict[str, dict[str, Any]] = {}
        self.known: dict[str, ImageState | None] = {}

    def get(self, reference: str) -> ImageState | None:
        """The engine's image. Raises EngineError."""
        if reference not in self.known:
            description = inspect_image(self._client, reference)
            self._labels[reference] = image_labels(description) if description else {}
            config = (description or {}).get("Config") or {}
            self._descriptions[reference] = description or {}
            self.known[reference] = None
            if description is not None:
                self.known[reference] = ImageState(
                    id=str(description["Id"]),
                    fingerprint=read_label(self._labels[reference]),
                    volumes=tuple(config.get("Volumes") or ()),
                )
        return self.known[reference]

    def builder(self) -> str:
        """The builder, which is a part of the engine, and its version. Raises EngineError."""
        with engine_errors("Engine's version"):
            version = str(self._client.version().get("Version") or "")
        return f"engine {'.'.join(version.split('.')[:2])}"

    def identity(self, reference: str) -> str:
        """What stays the same on another engine: the locked content of a preset's image, else its layers and settings.

        Its id does not: that of the containerd store is another one than that of the classic store.
        """
        image = self.get(reference)
        found = self._labels[reference]
        if found.get(labels.LOCK_SHA256):
            return f"{found.get(labels.PRESET_SHA256, '')} {found[labels.LOCK_SHA256]}"
        if image is None:
            return ""
        description = self._descriptions[reference]
        config = description.get("Config") or {}
        parts = [description.get(key) for key in ("Architecture", "Os", "RootFS", "Created")]
        parts += [config.get(key) for key in ("Env", "Entrypoint", "Cmd", "WorkingDir", "User", "Shell")]
        return sha256_bytes(json.dumps(parts, sort_keys=True).encode())


def stack_containers(stack: Stack, everything: Iterable[Container]) -> dict[str, tuple[Container, ...]]:
    """Service → its containers among `everything`."""
    found: dict[str, tuple[Container, ...]] = {}
    for container in everything:
        if container.project == stack.project:
            found[container.service] = (*found.get(container.service, ()), container)
    return found


def read_builds(site: Site, stack: Stack, client: docker.DockerClient) -> dict[str, BuildState]:
    """What the builds of all services would be made of now. Raises EngineError."""
    return _builds(site, stack, _Images(client))


def _builds(site: Site, stack: Stack, images: _Images) -> dict[str, BuildState]:
    sections = {name: service.build for name, service in stack.services.items() if service.build is not None}
    if not sections:
        return {}
    builder = images.builder()
    cache = HashCache(site.state / "stacks" / stack.name / "hashes.json")
    states = {}
    for name, build in sections.items():
        try:
            if is_remote(str(build.resolved.get("context"))):
                states[name] = BuildState()  # a finding says so
                continue
            bases = base_images(build)
            identities = {base: images.identity(base) for base in bases}
            fingerprint = take_fingerprint(build, identities, builder, cache)
            states[name] = BuildState(tuple(bases), fingerprint, read_built_files(site, stack.name, name))
        except InputError as error:
            states[name] = BuildState(error=error)
    cache.save()
    return states


def _presets(
    site: Site, stack: Stack, bases: Iterable[str], client: docker.DockerClient
) -> dict[str, tuple[UpStep, ...]]:
    """The steps to the image of every preset that the stack uses. Raises InputError for one that cannot be used."""
    named = {service.preset for service in stack.services.values() if service.preset}
    made = {labels.preset_of_tag(base) for base in bases}
    named |= {preset for preset in made if (site.presets / f"{preset}.json").is_file()}
    steps: dict[str, tuple[UpStep, ...]] = {}
    for preset in sorted(named):
        planner = Planner(UpRequest(site, preset), client)
        steps[preset] = (planner.lock(), planner.sync(), planner.build())
    return steps


def _taken_ports(
    stack: Stack,
    everything: Sequence[Container],
    own: Mapping[str, Sequence[Container]],
    *,
    local: bool,
) -> dict[str, tuple[str, ...]]:
    """Of each service that does not hold its ports: what does."""
    taken = {}
    for name, service in stack.services.items():
        ids = {entry.id for entry in own.get(name, ())}
        if any(entry.running for entry in own.get(name, ())):
            continue  # it holds them itself
        ports = [port for port in service.ports if port.host_port]
        others = [container for container in everything if container.id not in ids]
        holders = port_holders(ports, others, local=local) if ports else {}
        if holders:
            taken[name] = tuple(f"{format_host_ports(held)} is used by {who}" for who, held in holders.items())
    return taken


def _files_path(site: Site, stack: str, service: str) -> Path:
    return site.state / "stacks" / stack / f"{service}.files.json"


def read_built_files(site: Site, stack: str, service: str) -> dict[str, str] | None:
    """The files of the last build here, by path; None when they are not known."""
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads(_files_path(site, stack, service).read_text()))
    return None


def keep_built_files(site: Site, stack: str, service: str, files: Mapping[str, str]) -> None:
    """Keep the files of a build, so that the next plan can name those that changed."""
    with suppress(OSError):  # without room, a plan says only that files changed
        write_atomic(_files_path(site, stack, service), json.dumps(files))
