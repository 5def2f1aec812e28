"""One real service for all tests of a file, with people of every role and some events in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

import av
import httpx
import numpy as np
import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr

from core.api_schema import CameraRequest, Clip, Event, Role, UserRequest
from core.inference.api import sockets
from core.inference.auth import passwords
from core.inference.cameras.conversion import encode_jpeg
from core.inference.cameras.restart_budget import CameraTimes
from core.inference.events.ids import new_id
from core.inference.jobs import stream
from core.service_client import ServiceClient
from tests.api.serving import TOKEN, Running, served
from tests.support import sample_jobs

PASSWORD = "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # the same algorithm at the least cost
NOWHERE = "rtsp://user:hidden-word@127.0.0.1:9/none"
CLIP = bytes(range(256)) * 400  # 102,400 bytes, every place tells where it is


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with the cameras `gate` and `yard`, which nothing answers."""
    with pytest.MonkeyPatch.context() as patch, served(tmp_path_factory.mktemp("service")) as one:
        patch.setattr(passwords, "_HASHER", QUICK)
        manager = one.service.cameras
        manager.context = replace(manager.context, times=CameraTimes(disconnected_alert=3600))  # only the tests' events
        for camera in ("gate", "yard"):
            one.service.add_camera(CameraRequest(id=camera, source=NOWHERE, timeout=1))
        for name, role, cameras in PEOPLE:
            one.service.auth.users.add(UserRequest(name=name, password=SecretStr(PASSWORD), role=role, cameras=cameras))
        yield one


PEOPLE: tuple[tuple[str, Role, list[str] | None], ...] = (
    ("viewer", Role.VIEWER, None),
    ("operator", Role.OPERATOR, None),
    ("admin", Role.ADMIN, None),
    ("gatekeeper", Role.OPERATOR, ["gate"]),
)


@pytest.fixture(scope="module")
def people(running: Running) -> dict[str, ServiceClient]:
    """Everybody's client by name, logged in; `nobody` has no token."""
    clients = {"nobody": running.client("")}
    for name, _role, _cameras in PEOPLE:
        clients[name] = running.client(running.client("").login(name, PASSWORD).access)
    return clients


@dataclass(frozen=True)
class Events:
    """One finished event of each camera, one whose clip is still being recorded, and one that has nothing."""

    gate: str
    yard: str
    recording: str
    bare: str


@pytest.fixture(scope="module")
def events(running: Running) -> Events:
    """Events in the database, those of `gate` and `yard` with picture and clip."""
    picture = encode_jpeg(av.VideoFrame.from_ndarray(np.full((36, 64, 3), 90, np.uint8), format="rgb24"))

    def put(camera: str, clip: str, minutes: int) -> str:
        at = datetime.now(timezone.utc) - timedelta(minutes=minutes)
        event = Event(id=new_id(), camera=camera, type="motion", started=at, decided=at, score=0.5 + minutes / 100)
        event = event.model_copy(update={"clip": Clip(state=clip), "detector": "motion"})
        running.service.logger.log(event)
        if clip == "done":
            running.service.media.prepare_clip(event.id).write_bytes(CLIP)
            running.service.media.put_snapshot(event.id, picture)
        return event.id

    made = Events(put("gate", "done", 1), put("yard", "done", 2), put("gate", "recording", 3), put("yard", "none", 4))
    assert running.service.logger.flush(30)
    return made


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with the sample kinds of jobs, whose streams look often after their callers."""
    with pytest.MonkeyPatch.context() as patch:
        sample_jobs.install(patch)
        patch.setattr(stream, "CHECK_SECONDS", 0.2)
        patch.setattr(stream, "HEARTBEAT_SECONDS", 0.3)
        patch.setattr(stream, "CLOSING_POLL_SECONDS", 0.1)
        patch.setattr(sockets, "TOKEN_SECONDS", 60.0)  # no test depends on how fast its client is
        with served(tmp_path_factory.mktemp("jobs"), cors_origins="https://pages.example") as running:
            yield running


@pytest.fixture
def api(jobs: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=jobs.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as client:
        yield client
