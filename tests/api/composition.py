"""A service of real parts, without its command: what the API needs, in a folder and on a port of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import uvicorn
from fastapi import FastAPI

from core.inference.accounts import Accounts
from core.inference.api.app import create_app
from core.inference.cameras.manager import MultiCameraManager
from core.inference.database.cameras import CameraStore
from core.inference.database.engine import Database
from core.inference.events.logger import EventLogger
from core.inference.events.media import MediaStore
from core.inference.events.statistics import DailyStatistics
from core.inference.events.store import EventStore
from core.inference.models.motion import MotionDetector
from core.inference.notifications.notifier import Notifier
from core.inference.notifications.rules import RuleStore
from core.inference.resources.devices import Budget, HostMemory
from core.inference.resources.pool import ModelSpec, ResourcePool
from core.inference.schemas import (
    API_VERSION,
    SERVICE_NAME,
    CameraAlert,
    CameraRequest,
    CameraStatus,
    Health,
    ServiceStatus,
)
from core.inference.service import InferenceService
from core.inference.settings import ServiceSettings
from core.service_client import ServiceClient

TOKEN = "service-token-of-the-tests-0123456789"


class _NoCosts:
    def get(self, key: str, device: str) -> int | None:
        return None

    def put(self, key: str, device: str, cost: int) -> None:
        pass


class _Silent:
    """An observer that wants to know nothing."""

    def __init__(self, media: MediaStore) -> None:
        self._media = media

    def decided(self, decision: object) -> None:
        pass

    def ended(self, event: str, ended: datetime, peak: float, picture: bytes | None) -> None:
        pass

    def clip_path(self, event: str) -> Path:
        return self._media.prepare(event)

    def clip_done(self, event: str, seconds: float, size: int, why: str) -> None:
        pass

    def alert(self, camera: CameraRequest, alert: CameraAlert, active: bool) -> None:
        pass


class Small:
    """The attributes of InferenceService that routes use, each a real part."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.database = Database(settings.database)
        self.accounts = Accounts(self.database, settings.data, settings.service_token)
        self.camera_store = CameraStore(self.database)
        self.logger = EventLogger(self.database, settings.data / "spool")
        self.events = EventStore(self.database, self.logger)
        self.statistics = DailyStatistics(self.database, settings.zone)
        self.media = MediaStore(settings.data / "clips")
        self.rules = RuleStore(self.database)
        self.notifier = Notifier(self.database, self.rules, settings)
        self.pool = ResourcePool(Budget(HostMemory(0), 0), costs=_NoCosts())
        spec = ModelSpec(MotionDetector, 0)
        self.cameras = MultiCameraManager(
            _Silent(self.media), lambda _request: self.pool.lease("motion", spec), zone=ZoneInfo(settings.zone)
        )
        self.learned: list[tuple[str, float]] = []

    def start(self) -> None:
        self.logger.start()
        self.notifier.start()
        self.cameras.start()

    def stop(self) -> list[str]:
        hanging = self.cameras.stop()
        self.notifier.stop()
        self.logger.stop()
        self.accounts.close()
        self.pool.close()
        self.database.close()
        return hanging

    def health(self) -> Health:
        return Health(live=True, ready=True, version="0", service=SERVICE_NAME, api=API_VERSION)

    def status(self) -> ServiceStatus:
        return ServiceStatus(
            version="0",
            started=0,
            uptime=0,
            rss=0,
            cameras=self.cameras.statuses(),
            ledger=self.pool.status(),
            logger=self.logger.status(),
            outbox=self.notifier.status(),
            storage=self.media.status(),
            unacknowledged=self.events.unacknowledged(None),
        )

    def add_camera(self, request: CameraRequest) -> CameraStatus:
        status = self.cameras.add(request)
        self.camera_store.put(request)
        return status

    def update_camera(self, request: CameraRequest) -> CameraStatus:
        status = self.cameras.update(request)
        self.camera_store.put(request)
        return status

    def remove_camera(self, camera: str) -> None:
        self.cameras.remove(camera)
        self.camera_store.drop(camera)

    def learn(self, camera: str, minutes: float) -> None:
        self.cameras.get(camera)
        self.learned.append((camera, minutes))


@dataclass
class Running:
    """A served one."""

    service: InferenceService
    app: FastAPI
    url: str

    def client(self, token: str = TOKEN) -> ServiceClient:
        return ServiceClient(self.url, 10, token=token)


def compose(data: Path, **settings: object) -> InferenceService:
    """The parts, not started."""
    given = {"service_token": TOKEN, **settings}
    return cast(InferenceService, Small(ServiceSettings(data=data, **given)))  # type: ignore[arg-type]


@contextmanager
def served(
    data: Path, *, certificate: Path | None = None, key: Path | None = None, **settings: object
) -> Iterator[Running]:
    """A service on a free port of loopback."""
    service = compose(data, **settings)
    app = create_app(service)
    config = uvicorn.Config(
        app, port=0, log_config=None, proxy_headers=False, ssl_certfile=certificate, ssl_keyfile=key
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="api-under-test")
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Running(service, app, f"{'https' if certificate else 'http'}://127.0.0.1:{port}")
    finally:
        if hasattr(app.state, "closing"):
            app.state.loop.call_soon_threadsafe(app.state.closing.set)
        server.should_exit = True
        thread.join(30)


def now() -> datetime:
    return datetime.now(timezone.utc)
