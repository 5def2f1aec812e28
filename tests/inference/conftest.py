"""Cameras that come back quickly, and services."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from core.api_schema import AlertKind, CameraAlert, CameraRequest, CameraStatus
from core.inference.cameras.backoff import Backoff
from core.inference.cameras.camera import LeaseScorer
from core.inference.cameras.manager import MultiCameraManager
from core.inference.cameras.observer import Decision, Observer
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import ModelPool, ModelSpec
from core.inference.models.motion_detector import MotionDetector
from tests.model_pool.fakes import FakeCostStore
from tests.support import require, rtsp, until
from tests.support.service import TOKEN as TOKEN
from tests.support.service import ServiceProcess
from tests.support.service import running_service as running_service

UTC = ZoneInfo("UTC")
QUICK_BACKOFF = Backoff(ladder=((0.2, 1000),), final_delay=0.2, stable_seconds=1000, by_cause={})


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServiceProcess]]:
    """Start services; all are killed at the end."""
    data = tmp_path / "data"
    data.mkdir()
    started: list[ServiceProcess] = []

    def start(*arguments: str, **options: Any) -> ServiceProcess:
        started.append(ServiceProcess(data, *arguments, **options))
        return started[-1]

    yield start
    for service in started:
        service.process.kill()
        service.process.wait()


@dataclass
class RecordingObserver:
    """An observer that records every call; events are "on disk" immediately."""

    folder: Path
    decisions: list[Decision] = field(default_factory=list)
    ends: dict[str, tuple[datetime, float, bytes | None]] = field(default_factory=dict)
    clips: dict[str, tuple[float, int, str]] = field(default_factory=dict)
    alerts: list[tuple[str, AlertKind, bool]] = field(default_factory=list)

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def ended(self, event: str, ended: datetime, peak: float, picture: bytes | None) -> None:
        self.ends[event] = (ended, peak, picture)

    def clip_path(self, event: str) -> Path:
        return self.folder / f"{event}.mp4"

    def clip_done(self, event: str, seconds: float, size: int, why: str) -> None:
        self.clips[event] = (seconds, size, why)

    def alert(self, camera: CameraRequest, alert: CameraAlert, active: bool) -> None:
        self.alerts.append((camera.id, alert.kind, active))


@pytest.fixture
def pool() -> Iterator[ModelPool]:
    """Models in this machine's memory."""
    with closing(ModelPool(DeviceBudget(HostMemory(0), 0), costs=FakeCostStore())) as running:
        yield running


@pytest.fixture
def witness(tmp_path: Path) -> RecordingObserver:
    """Records events and alerts."""
    return RecordingObserver(tmp_path)


@pytest.fixture
def lease(pool: ModelPool) -> LeaseScorer:
    """Leases of one motion detector for all cameras."""
    return lambda request: pool.lease("motion", ModelSpec(MotionDetector, 0))


Manage = Callable[..., MultiCameraManager]


@contextmanager
def stopped_managers() -> Iterator[Manage]:
    """Make managers with quick retries; each is stopped at the end, and must leave nothing behind."""
    managers: list[MultiCameraManager] = []

    def make(observer: Observer, lease: LeaseScorer, *, start: bool = True, **options: Any) -> MultiCameraManager:
        options = {"time_zone": UTC, "backoff": QUICK_BACKOFF, "cores": 64, **options}
        managers.append(MultiCameraManager(observer, lease, **options))
        if start:
            managers[-1].start()
        return managers[-1]

    yield make
    for manager in managers:
        until(manager.stop, lambda hanging: hanging == [])


@pytest.fixture
def manage(witness: RecordingObserver) -> Iterator[Manage]:
    """Make managers that lease models so, with `witness` as their observer."""
    with stopped_managers() as make:
        yield lambda lease, observer=witness, **options: make(observer, lease, **options)


@pytest.fixture
def manager(manage: Manage, lease: LeaseScorer) -> MultiCameraManager:
    """A running manager."""
    return manage(lease)


@contextmanager
def running_manager(witness: RecordingObserver) -> Iterator[MultiCameraManager]:
    """The same for a module, with a detector of its own."""
    with closing(ModelPool(DeviceBudget(HostMemory(0), 0), costs=FakeCostStore())) as pool, stopped_managers() as make:
        spec = ModelSpec(MotionDetector, 0)
        yield make(witness, lambda _: pool.lease("motion", spec))


Add = Callable[..., Callable[[], CameraStatus]]


@pytest.fixture
def add(manager: MultiCameraManager) -> Add:
    """Add a camera; returns its probe. A machine under load may stand still for seconds: no camera is lost for that."""

    def add_camera(
        source: str, camera: str = "a", timeout: float = 15, **settings: object
    ) -> Callable[[], CameraStatus]:
        manager.add(CameraRequest.model_validate({"id": camera, "source": source, "timeout": timeout, **settings}))
        return lambda: manager.get(camera).status()

    return add_camera


@pytest.fixture
def server() -> Iterator[rtsp.RtspServer]:
    """An RTSP server with one moving camera, `cam`."""
    require(rtsp.available(), "GStreamer's RTSP server")
    with rtsp.RtspServer({"cam": rtsp.Live()}) as running:
        yield running
