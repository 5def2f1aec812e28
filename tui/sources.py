"""The sources of the store: one function of `core` each, and how often it is called.

Each runs in a thread of its own and may block.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from core.errors import XaivaError
from core.findings import Finding
from core.site import Site
from tui.engine_sources import USAGE_EVERY_SECONDS, disk_usage, engine_objects
from tui.inspection_sources import InspectionSources
from tui.stack_source import PLAN_SECONDS, read_stacks

if TYPE_CHECKING:
    from core.api_schema import Delivery, Rule, ServiceStatus, User
    from core.artifacts.lockfile import Lock
    from core.containers.model import Container, ContainerStats
    from core.containers.service_discovery import ServiceLocator
    from core.engine_identity import EngineIdentifier, EngineIdentity
    from core.images.build_history import BuildRecord
    from core.operations.model import Operation
    from core.presets.compat.machine import TargetMachine
    from core.presets.store import PresetEntry
    from core.service_client import LoginIdentity, ServiceAddress, ServiceClient
    from core.site_settings import SettingsFile
    from core.telemetry.gpus import GpuSample, GpuSampler
    from core.telemetry.history import History, Trend
    from core.telemetry.host import HostSample, HostSampler
    from tui.container_usage import ContainerUsage
    from tui.process_source import Processes, ProcessSource

T = TypeVar("T")
LIVE_SECONDS = 1.0  # seconds between two samples of live values
MANUAL_SECONDS = 3.0  # of values that people change
SLOW = 20.0  # of values that change by the hour
QUICK = ("gpus", "host")  # they import little, so they are asked before the first frame
SOURCE_TITLES = {  # source → what it asks, in words
    "gpus": "NVIDIA driver",
    "host": "This machine",
    "containers": "Docker engine",
    "processes": "Processes",
    "engine_identity": "Docker engine",
    "cameras": "Inference service",
    "operations": "Operations ledger",
    "presets": "Presets folder",
    "builds": "Build history",
    "service": "Inference service",
    "events": "Inference service",
    "statistics": "Inference service",
    "stacks": "Stacks",
    "products": "Inference service",
    "inspections": "Inference service",
    "recent_jobs": "Inference service",
    "jobs": "Inference service",
    "job": "Inference service",
    "engine_objects": "Docker engine",
    "disk_usage": "Docker engine",
    "image_layers": "Docker engine",
    "operation": "Operations ledger",
    "container": "Docker engine",
    "build": "Build history",
    "plan": "Artifacts folder",
    "media": "Media",
    "steps": "First steps",
    "settings": "Settings",
    "site_settings": "Settings",
    "login": "Site login",
}
SERVICE_SOURCES = tuple(name for name, title in SOURCE_TITLES.items() if title == "Inference service")
LOW_BANDWIDTH_FACTOR = 4  # low bandwidth asks this many times less often
MAX_OPERATIONS = 300
ENGINE_SECONDS = 3.0  # timeout of one call
SERVICE_SECONDS = 3.0
HISTORY_SECONDS = 300  # seconds of sparklines
GAP_SECONDS = 20.0  # seconds without a sample that make a gap in a sparkline; no slow sample takes that long
SPARK_STEP = (
    5  # samples a bar of a sparkline stands for: a history begins with a whole bar, so that bars keep their height
)


@dataclass(frozen=True)
class LiveSample:
    """A sample, and the history of some of its values, oldest first."""

    sample: Any
    history: Mapping[str, list[float | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Containers:
    """The engine's containers, and by id what running ones use, now and over time."""

    containers: list[Container]
    stats: dict[str, ContainerStats]
    trends: dict[str, dict[str, Trend]] = field(default_factory=dict)
    """By id and figure: cpu, memory, received, sent, read, written."""


@dataclass(frozen=True)
class PresetView:
    """A preset file with its findings and its lock; `stale` when it changed after it was locked."""

    entry: PresetEntry
    findings: list[Finding]
    lock: Lock | None
    stale: bool
    target: TargetMachine | None


@dataclass(frozen=True)
class ServiceView:
    """Rules, users and messages; `rules` and `users` are None for users who may not see them. `user` is logged in."""

    rules: list[Rule] | None
    users: list[User] | None
    deliveries: list[Delivery]
    user: str


class Sources:
    """The functions behind the store's sources. Each is called by its own thread and keeps its own state.

    `_known_containers` and `_engine_root` alone are read by others: the engine's thread replaces them as a whole.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._gpus: GpuSampler | None = None
        self._gpus_lock = threading.Lock()
        self._processes: ProcessSource | None = None
        self._host: HostSampler | None = None
        self._histories: dict[str, History] = {}
        self._added_at: dict[str, float] = {}
        self._engine: Any = None
        self._container_usage: ContainerUsage | None = None
        self._engine_root: Path | None = None
        self._identifier: EngineIdentifier | None = None
        self._known_containers: list[Container] = []
        self._generation = 0  # of the settings that were used to connect to the engine
        self._services: ServiceLocator | None = None
        self._services_lock = threading.Lock()
        self.preset = ""  # the selected one; its service is preferred
        self.on_service_found: Callable[[ServiceAddress], object] = lambda _: None  # called with the service's address
        self._inspection = InspectionSources(self.ask_service)
        self._check_cache: dict[str, tuple[object, list[Finding], TargetMachine | None]] = {}
        self._dispatched = False  # whether what waits in the ledger was started

    def fetchers(self) -> dict[str, tuple[Callable[[], Any], float]]:
        """Every source with its interval in seconds, in the order in which they first ask."""
        return {
            "gpus": (self.gpus, LIVE_SECONDS),
            "host": (self.host, LIVE_SECONDS),
            "containers": (self.containers, LIVE_SECONDS),
            "processes": (self.processes, MANUAL_SECONDS),
            "cameras": (self.cameras, LIVE_SECONDS),
            "operations": (self.operations, LIVE_SECONDS),
            "presets": (self.presets, MANUAL_SECONDS),
            "builds": (self.builds, MANUAL_SECONDS),
            "service": (self.service, MANUAL_SECONDS),
            "engine_objects": (partial(engine_objects, self._site), MANUAL_SECONDS),
            "disk_usage": (partial(disk_usage, self._site), USAGE_EVERY_SECONDS),
            "image_layers": (not_targeted_yet, SLOW),
            "events": (not_targeted_yet, MANUAL_SECONDS),
            "statistics": (not_targeted_yet, SLOW),
            "stacks": (partial(read_stacks, self._site), PLAN_SECONDS),
            "products": (self._inspection.products, MANUAL_SECONDS),
            "recent_jobs": (self._inspection.recent_jobs, MANUAL_SECONDS),
            "inspections": (not_targeted_yet, MANUAL_SECONDS),
            "jobs": (not_targeted_yet, MANUAL_SECONDS),
            "job": (not_targeted_yet, MANUAL_SECONDS),
            "operation": (not_targeted_yet, LIVE_SECONDS),
            "container": (not_targeted_yet, MANUAL_SECONDS),
            "build": (not_targeted_yet, MANUAL_SECONDS),
            "plan": (not_targeted_yet, MANUAL_SECONDS),
            "media": (not_targeted_yet, MANUAL_SECONDS),
            "steps": (not_targeted_yet, LIVE_SECONDS),
            "site_settings": (self.site_settings, MANUAL_SECONDS),
            "login": (self.login, MANUAL_SECONDS),
            "engine_identity": (self.engine_identity, MANUAL_SECONDS),
        }

    def close(self) -> None:
        for sampler in (self._gpus, self._host):
            if sampler is not None:
                sampler.close()
        if self._services is not None:
            self._services.close()

    # -- the machine ---------------------------------------------------------------------------------------------------

    def gpus(self) -> LiveSample:
        """The GPUs with the containers that use them, and their load over time."""
        from core.telemetry.gpus import GpuState, attribute_containers

        containers = self._known_containers
        sample: GpuSample = attribute_containers(
            self._gpu_sampler.sample(),
            {container.id: container.name for container in containers},
            {container.id for container in containers if container.managed},
        )
        is_hung = sample.state is GpuState.HUNG  # its values are outdated
        figures = {f"gpu{gpu.index}": gpu.utilisation for gpu in sample.gpus}
        figures |= {f"vram{gpu.index}": gpu.memory_used for gpu in sample.gpus}
        histories = {name: self._add_to_history(name, None if is_hung else value) for name, value in figures.items()}
        return LiveSample(sample, histories)

    @property
    def _gpu_sampler(self) -> GpuSampler:
        """The reader of the driver, shared by two threads; created on first use, because it imports much."""
        from core.telemetry.gpus import GpuSampler

        with self._gpus_lock:
            if self._gpus is None:
                self._gpus = GpuSampler()
            return self._gpus

    def processes(self) -> Processes:
        """The processes on GPUs and in containers, with their use of CPU and VRAM over time."""
        if self._processes is None:
            from tui.process_source import ProcessSource

            self._processes = ProcessSource(self._site)
        return self._processes.read(self._gpu_sampler.sample())

    def host(self) -> LiveSample:
        """The host, and its load over time."""
        from core.telemetry.host import HostSampler

        if self._host is None:
            self._host = HostSampler({"artifacts": self._site.artifacts})
        if self._engine_root is not None:
            self._host.watch("engine", self._engine_root)
        sample: HostSample = self._host.sample()
        return LiveSample(sample, {"cpu": self._add_to_history("cpu", sample.cpu_percent)})

    def _add_to_history(self, name: str, value: float | None) -> list[float | None]:
        """Add a value to a history, with a gap when no value came for long, and return the history."""
        from core.telemetry.history import History

        history = self._histories.setdefault(name, History(HISTORY_SECONDS))
        now = time.monotonic()
        if now - self._added_at.get(name, now) > GAP_SECONDS:
            for _ in range(SPARK_STEP):
                history.add(None)
        self._added_at[name] = now
        history.add(value)
        return history.values()[-history.dropped % SPARK_STEP :]

    # -- the engine and the service ------------------------------------------------------------------------------------

    def containers(self) -> Containers:
        """All containers, with the statistics of running ones. Raises EngineError."""
        from core.containers.listing import list_containers
        from core.engine import EngineError, connect_engine, engine_root
        from tui.container_usage import ContainerUsage

        try:
            if self._engine is None or self._generation != self._site.generation:
                self._generation = self._site.generation
                client = connect_engine(self._site, ENGINE_SECONDS)
                self._engine_root = engine_root(self._site, client)
                self._engine = client
            containers = list_containers(self._engine)
            self._known_containers = containers
            self._container_usage = self._container_usage or ContainerUsage()
            return Containers(containers, *self._container_usage.sample(self._engine, containers))
        except EngineError:
            self._engine = None  # the next engine at that address may be another one
            raise

    def engine_identity(self) -> EngineIdentity:
        """Which engine answers, or that there is none. Raises EngineError."""
        from core.engine_identity import EngineIdentifier

        if self._identifier is None:
            self._identifier = EngineIdentifier(self._site)
        return self._identifier.identify(ENGINE_SECONDS)

    def cameras(self) -> ServiceStatus:
        """The status of the inference service. Raises XaivaError."""
        return self.ask_service(lambda client: client.status())

    def service(self) -> ServiceView:
        """Rules, users and the newest messages. Raises XaivaError."""
        return self.ask_service(_service_view)

    def login(self) -> LoginIdentity:
        """Who this console is logged in as, and the site's login; asks nothing over the network."""
        return self.services.session.identity()

    @property
    def services(self) -> ServiceLocator:
        """The site's inference services, shared by all threads; created on first use, because it imports much."""
        from core.containers.service_discovery import ServiceLocator

        with self._services_lock:
            if self._services is None:
                self._services = ServiceLocator(self._site)
            return self._services

    def ask_service(self, work: Callable[[ServiceClient], T]) -> T:
        """Run `work` with a client of the service; after an error the service is searched again."""
        services = self.services
        services.preset = self.preset
        try:
            client = services.client(SERVICE_SECONDS)
            self.on_service_found(client.address)
            return work(client)
        except XaivaError:
            services.mark_lost()
            raise

    # -- the site ------------------------------------------------------------------------------------------------------

    def operations(self) -> list[Operation]:
        """The newest operations, newest first. The first time, those that wait and have room are started."""
        from core.site_operations import site_ledger

        ledger = site_ledger(self._site)
        if not self._dispatched:
            self._dispatched = True
            ledger.dispatch()
        return ledger.list(MAX_OPERATIONS)

    def builds(self) -> list[BuildRecord]:
        """The kept builds, newest first."""
        from core.images.build_history import list_builds

        return list_builds(self._site)

    def presets(self) -> list[PresetView]:
        """Every preset with its findings and its lock; unchanged files are not checked again."""
        from core.presets.store import list_presets

        return [self._preset_view(entry) for entry in list_presets(self._site)]

    def site_settings(self) -> SettingsFile:
        """The keys of `site.toml` as they are on disk."""
        from core.site_settings import read_settings

        return read_settings(self._site.root, self._site.process_env)

    def _preset_view(self, entry: PresetEntry) -> PresetView:
        from core.artifacts.lock_store import find_lock
        from core.errors import XaivaError
        from core.presets.store import preset_sha256

        if entry.preset is None:
            return PresetView(entry, [], None, False, None)
        try:
            lock = find_lock(self._site, entry.name)
        except XaivaError as error:
            broken = Finding(level="error", code="lock", what=error.what, why=error.why, remedy=error.remedy)
            findings, target = self._check_cached(entry, None)
            return PresetView(entry, [broken, *findings], None, False, target)
        stale = lock is not None and lock.preset_sha256 != preset_sha256(entry.preset, entry.path.parent)
        findings, target = self._check_cached(entry, None if stale else lock)
        return PresetView(entry, findings, lock, stale, target)

    def _check_cached(self, entry: PresetEntry, lock: Lock | None) -> tuple[list[Finding], TargetMachine | None]:
        """The findings of a preset with its current lock, cached until one of the two changes."""
        from core.artifacts.lock_check import resolved_of_lock
        from core.artifacts.lock_store import artifacts_folder
        from core.presets.compat import check, site_facts, target_for

        cached = self._check_cache.get(entry.name)
        if cached is None or cached[0] != (entry.preset, lock):
            assert entry.preset is not None
            target = target_for(entry.preset, site_facts(self._site))
            resolved = resolved_of_lock(lock, artifacts_folder(self._site, entry.name)) if lock else None
            findings = check(entry.preset, target, site=self._site, resolved=resolved, name=entry.name)
            cached = ((entry.preset, lock), findings, target)
            self._check_cache[entry.name] = cached
        return cached[1], cached[2]


def not_targeted_yet() -> None:
    """The answer of a source before a screen has set its target."""


def _service_view(client: ServiceClient) -> ServiceView:
    """The rules, users and newest messages that the user may see."""
    from core.service_client import Forbidden

    try:
        rules, deliveries = client.rules(), client.deliveries()
    except Forbidden:
        rules, deliveries = None, []
    try:
        users = client.users()
    except Forbidden:
        users = None
    return ServiceView(rules, users, deliveries, client.logged_in())
