"""The inference service: assembles its parts, starts and stops them in order, reports its status."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from zoneinfo import ZoneInfo

from core.api_schema import (
    API_VERSION,
    SERVICE_NAME,
    CameraRequest,
    CameraState,
    CameraStatus,
    Event,
    EventQuery,
    Fact,
    Health,
    ServiceStatus,
)
from core.errors import XaivaError
from core.inference.auth import Authenticator
from core.inference.cameras.login_backoff import LoginBackoff
from core.inference.cameras.manager import MultiCameraManager, UnknownCamera
from core.inference.cameras.source_address import restore_source_secrets
from core.inference.database.camera_store import CameraStore
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.event_pipeline.coordinator import EventCoordinator
from core.inference.event_pipeline.recovery import Recovery
from core.inference.events.logger import EventLogger
from core.inference.events.media_store import MediaStore
from core.inference.events.retention import Retention
from core.inference.events.statistics import DailyStatistics
from core.inference.events.store import EventStore
from core.inference.flows.flow_file import DEFAULT_FLOW_NAME, read_flows
from core.inference.flows.runner import FlowRunner
from core.inference.inspection.inspection_service import InspectionService
from core.inference.jobs.learn import Learner, with_memory_bank
from core.inference.jobs.reservation_keeper import JobReservations
from core.inference.jobs.service import JobService
from core.inference.model_pool.cost_store import DatabaseCosts
from core.inference.model_pool.devices import DeviceBudget, find_device_budget
from core.inference.model_pool.pool import ModelPool
from core.inference.models import registry
from core.inference.models.analysis import create_analyser
from core.inference.models.execution_providers import select_provider
from core.inference.models.scorer import Scorer
from core.inference.notifications.notifier import Notifier
from core.inference.notifications.rule_store import RuleStore
from core.inference.settings import MIB, ServiceSettings
from core.inference.storage import open_storage

logger = logging.getLogger(__name__)

# How long each step of the shutdown may take; the parts of a step stop in parallel. Time that a step does not use goes
# to the next one; a part that hangs takes no time from later steps. Together with the server's GRACE_SECONDS they stay
# below the 10 s after which an engine kills.
CAMERAS_SECONDS = 3.5  # everything that brings new work, or only sends
EVENTS_SECONDS = 1.5  # the pipeline of events
SAVING_SECONDS = 1.5  # the logger
CLOSING_SECONDS = 0.5
STOP_SECONDS = CAMERAS_SECONDS + EVENTS_SECONDS + SAVING_SECONDS + CLOSING_SECONDS


class InferenceService:
    """The service behind the API; knows nothing of HTTP. Thread-safe.

    `startup_cameras` are those of the command line and the environment: each keeps the settings that the API changed,
    but gets its source from here. `database` is the open database of the settings, if there is one already. Raises what
    its parts raise for unusable settings and folders.
    """

    def __init__(
        self, settings: ServiceSettings, startup_cameras: Iterable[CameraRequest] = (), database: Database | None = None
    ) -> None:
        self.settings = settings
        self.database = database or Database(settings.database)
        self.camera_store = CameraStore(self.database)
        self.auth = Authenticator(self.database, settings.data, settings.service_token)
        self.logger = EventLogger(self.database, settings.data / "spool", json_log=settings.event_log)
        self.events = EventStore(self.database, self.logger)
        self.statistics = DailyStatistics(self.database, settings.zone)
        self.media = MediaStore(settings.data / "media")
        self.retention = Retention(self.media.folder, self.database, settings)
        self.pool = ModelPool(_budget(settings), costs=DatabaseCosts(self.database))
        self._reservations = JobReservations(settings, self.pool)
        self._reservations.restore()  # before any model loads
        self.rules = RuleStore(self.database)
        self.notifier = Notifier(self.database, self.rules, settings)
        self.analyser = create_analyser(settings, self.pool)
        zone = ZoneInfo(settings.zone)
        flows = FlowRunner(read_flows(settings.flows), self.notifier, self.analyser, zone)
        find_facts = self._find_facts if _has_onnx() else None
        self._coordinator = EventCoordinator(self.logger, self.media, self.analyser, flows, find_facts)
        logins = LoginBackoff(settings.data / "logins.json")
        self.cameras = MultiCameraManager(
            self._coordinator, self._lease_scorer, time_zone=zone, maximum=settings.max_cameras, login_backoff=logins
        )
        self._recovery = Recovery(
            self.database, self.logger, self.media, self.analyser, self._coordinator, self._flow_of
        )
        self.learning = Learner(self.cameras, self.pool, settings, self._on_learned)
        self.jobs = JobService(settings, self._reservations.release_ended)
        self.storage = open_storage(settings)
        self.inspection = InspectionService(
            settings, self.database, self.pool, self.storage, self.jobs, self._coordinator.inspected
        )
        self._version = own_version()
        self._started, self._started_monotonic = time.time(), time.monotonic()
        self._ready = False
        self._camera_locks: dict[str, threading.Lock] = {}  # by camera: its row and the camera itself change together
        self._detector_lock = threading.Lock()  # the person detector is not thread-safe
        self._restore_cameras(startup_cameras)

    def start(self) -> None:
        """Start everything, the cameras last."""
        for room in (self.logger, self.retention, self.notifier, self.analyser, self._coordinator, self._recovery):
            room.start()
        self.cameras.start()
        self._reservations.start()
        self.learning.resume()
        self.jobs.start()
        self.inspection.start()
        self._ready = True

    def stop(self) -> list[str]:
        """Stop the cameras, then everything behind them, within `STOP_SECONDS`; all events are on disk then.

        Returns the ids of cameras that hang in native code.
        """
        self._ready = False
        hanging: list[str] = []
        steps: tuple[tuple[float, dict[str, Callable[[], object]]], ...] = (
            (
                CAMERAS_SECONDS,
                {
                    "the cameras": lambda: hanging.extend(self.cameras.stop()),
                    "the learning": self.learning.stop,
                    "the jobs": self.jobs.stop,
                    **self.inspection.stops(),
                    "the recovery of events": self._recovery.stop,
                    "the notifications": self.notifier.stop,
                    "the retention": self.retention.stop,
                    "the reservations of jobs": self._reservations.stop,
                },
            ),
            (EVENTS_SECONDS, {"the events under way": lambda: self._coordinator.stop(deadline - time.monotonic())}),
            (SAVING_SECONDS, {"the logger": self.logger.stop, "the analyser": self.analyser.stop}),
            (CLOSING_SECONDS, {"the models": self.pool.close, "the database": self.database.close}),
        )
        deadline = time.monotonic()
        for seconds, parts in steps:
            deadline += seconds
            _stop_together(deadline, parts)
        return hanging

    # -- status -----------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """Whether the service works, regardless of its cameras' state."""
        statuses = self.cameras.statuses()
        live = sum(status.state is CameraState.LIVE for status in statuses)
        return Health(
            live=not self._ready or self.cameras.watching,
            ready=self._ready,
            version=self._version,
            detail=f"{live} of {len(statuses)} cameras live",
            service=SERVICE_NAME,
            api=API_VERSION,
            database=self.logger.status().why,
        )

    def status(self) -> ServiceStatus:
        """A snapshot of everything; without the counts from the database while it does not answer."""
        newest, unacknowledged = "", 0
        try:
            newest = next((event.id for event in self.events.page(cameras=None, query=EventQuery(limit=1)).events), "")
            unacknowledged = self.events.unacknowledged(None)
        except DatabaseError as error:
            logger.debug("the status lacks its counts: %s", error)
        return ServiceStatus(
            version=self._version,
            started=self._started,
            uptime=round(time.monotonic() - self._started_monotonic, 1),
            rss=resident_bytes(),
            host=socket.gethostname(),
            cameras=self.camera_statuses(),
            ledger=self.pool.status(),
            logger=self.logger.status(),
            analyser=self.analyser.status(),
            outbox=self.notifier.status(),
            storage=self.media.status(),
            inspect_folder=self.inspection.folder_status(),
            inspections_refused=self.inspection.refused(),
            newest_event=newest,
            unacknowledged=unacknowledged,
            zone=self.settings.zone,
        )

    def camera_statuses(self) -> list[CameraStatus]:
        return [self._with_details(status) for status in self.cameras.statuses()]

    def camera_status(self, camera: str) -> CameraStatus:
        """Raises UnknownCamera."""
        return self._with_details(self.cameras.get(camera).status())

    def _with_details(self, status: CameraStatus) -> CameraStatus:
        """The status with the camera's suspension and learning."""
        request = self._camera_settings(status.id)
        learning = self.learning.status(request) if request else None
        return status.model_copy(update={"suspended_until": self.notifier.suspended(status.id), "learning": learning})

    # -- changes ----------------------------------------------------------------------------------------------------

    def add_camera(self, request: CameraRequest) -> CameraStatus:
        """Add a camera permanently. Raises as `MultiCameraManager.add` and `CameraStore.put`."""
        with self._camera_lock(request.id):
            status = self.cameras.add(request)
            try:
                self.camera_store.put(request)
            except XaivaError:
                self.cameras.remove(request.id)
                raise
            return self._with_details(status)

    def update_camera(self, request: CameraRequest) -> CameraStatus:
        """Change a camera permanently. Raises as `MultiCameraManager.update` and `CameraStore.put`."""
        with self._camera_lock(request.id):
            previous = self.cameras.get(request.id).request
            status = self.cameras.update(request)
            try:
                self.camera_store.put(request)
            except XaivaError:
                self.cameras.update(previous)
                raise
            return self._with_details(status)

    def remove_camera(self, camera: str) -> None:
        """Remove a camera; its events stay. Raises UnknownCamera, and as `CameraStore.drop`."""
        self.cameras.get(camera)
        with self._camera_lock(camera):
            self.camera_store.drop(camera)
            self.cameras.remove(camera)
            self.learning.drop(camera)

    def learn(self, camera: str, minutes: float) -> None:
        """Start learning the camera's normal pictures. Raises as `Learner.start`."""
        self.learning.start(camera, minutes)

    def cancel_learning(self, camera: str) -> None:
        """Cancel the learning; an earlier result stays. Raises UnknownCamera."""
        self.cameras.get(camera)
        self.learning.cancel(camera)

    # -- wiring -----------------------------------------------------------------------------------------------------

    def _camera_lock(self, camera: str) -> threading.Lock:
        """Serialises changes per camera, so that loading one camera's model delays no other camera."""
        return self._camera_locks.setdefault(camera, threading.Lock())

    def _restore_cameras(self, startup_cameras: Iterable[CameraRequest]) -> None:
        stored = {camera.id: camera for camera in self.camera_store.load()}
        new = []
        for camera in startup_cameras:
            if camera.id in stored:
                stored_camera = stored[camera.id]
                source = restore_source_secrets(camera.source, stored_camera.source, camera.id)
                stored[camera.id] = stored_camera.model_copy(update={"source": source})
            else:
                new.append(camera)
        self.cameras.restore(stored.values())
        for camera in new:
            self.cameras.add(camera)

    def _lease_scorer(self, request: CameraRequest) -> Scorer:
        detection = request.detection
        return self.pool.lease(registry.model_key(detection), registry.detector_spec(detection, self.settings))

    def _on_learned(self, camera: str) -> None:
        self.update_camera(with_memory_bank(self.cameras.get(camera).request))

    def _find_facts(self, jpeg: bytes) -> list[Fact]:
        """Persons in a snapshot. Their model stays in the pool until its memory is needed."""
        with (
            self._detector_lock,
            self.pool.lease(registry.PERSONS, registry.object_detector_spec(self.settings)) as lease,
        ):
            return lease.model.detect(jpeg)

    def _flow_of(self, event: Event) -> str:
        if event.product:
            return self.inspection.flow_of(event.product)
        camera = self._camera_settings(event.camera)
        return camera.flow if camera else DEFAULT_FLOW_NAME

    def _camera_settings(self, camera: str) -> CameraRequest | None:
        try:
            return self.cameras.get(camera).request
        except UnknownCamera:
            return None


def _stop_together(deadline: float, parts: Mapping[str, Callable[[], object]]) -> None:
    """Stop the parts in parallel; abandon those that hang beyond the deadline."""
    threads = {what: threading.Thread(target=stop, name="stop", daemon=True) for what, stop in parts.items()}
    for thread in threads.values():
        thread.start()
    for what, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            logger.warning("%s did not stop in time", what)


def _has_onnx() -> bool:
    """Whether ONNX models can run; an image may be built without onnxruntime."""
    return importlib.util.find_spec("onnxruntime") is not None


def _budget(settings: ServiceSettings) -> DeviceBudget:
    """The models' memory budget: of a GPU where ONNX models run on one."""
    gpu = _has_onnx() and select_provider(settings.onnx_provider).on_gpu
    return find_device_budget(
        gpu=gpu, vram_reserve=settings.vram_reserve_mb * MIB, memory_budget=settings.memory_budget_mb * MIB
    )


def own_version() -> str:
    """The version of this service: that of its wheel in an image, that of xaiva in a checkout."""
    for distribution in ("xaiva-inference", "xaiva-console"):
        with suppress(PackageNotFoundError):
            return version(distribution)
    from core.toml import tomllib  # images do not need it

    try:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except OSError:
        return "unknown"
    return str(project["version"])


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
