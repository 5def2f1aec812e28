"""What the demo sets up in its service, over HTTP as a user would: cameras, rules and users."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from core.api_schema import (
    CameraRequest,
    CameraState,
    Channel,
    ChannelKind,
    Detection,
    Priority,
    Role,
    RuleRequest,
    UserRequest,
)
from core.files import write_atomic
from core.service_client import ServiceClient

BELT, GATE, HALL, DOCK = "belt", "gate", "hall", "dock"
LEARNING_MINUTES = {BELT: 0.15, GATE: 2.0}  # the belt looks the same again after 1.5 s, the gate after 15 s
LEARNED_DETECTOR = "memory"  # the detector of a camera that has learned
_POLL_SECONDS = 0.05
ROLES = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


def add_cameras(client: ServiceClient, sources: Mapping[str, str]) -> None:
    """Add the four cameras with these sources (by camera id), and start learning those of LEARNING_MINUTES."""
    for camera in _cameras(sources):
        client.add_camera(camera)
    for name, minutes in LEARNING_MINUTES.items():
        while client.camera(name).state is CameraState.STOPPED:
            time.sleep(_POLL_SECONDS)  # it has not started yet
        client.learn(name, minutes)


def _cameras(sources: Mapping[str, str]) -> list[CameraRequest]:
    return [
        CameraRequest(
            id=BELT,
            name="Demo belt",
            source=sources[BELT],
            detection=Detection(detector=LEARNED_DETECTOR, minimum_seconds=0.8),
            pre_roll=3,
            post_roll=2,
            priority=Priority.HIGH,
        ),
        CameraRequest(
            id=GATE,
            name="Demo gate",
            source=sources[GATE],
            detection=Detection(threshold=0.35, minimum_seconds=0.8, cooldown=20),
            pre_roll=2,
            post_roll=2,
        ),
        CameraRequest(id=HALL, name="Demo hall", source=sources[HALL], detection=Detection(threshold=0.9)),
        CameraRequest(id=DOCK, name="Demo dock", source=sources[DOCK]),
    ]


def add_rules(client: ServiceClient, receiver: str) -> None:
    """Add a rule for what the cameras see and one for the cameras themselves, both to the receiver's address."""
    channels = (Channel(kind=ChannelKind.WEBHOOK, to=receiver),)
    client.add_rule(RuleRequest(name="demo-anomalies", types=("anomaly", "motion"), channels=channels))
    alerts = ("camera_frozen", "camera_disconnected", "camera_black", "camera_moved")
    client.add_rule(
        RuleRequest(name="demo-camera-alerts", types=alerts, priority=Priority.LOW, within=0, channels=channels)
    )


def add_users(client: ServiceClient, passwords: Path) -> None:
    """Add a user for each role, and write their random passwords to a file that this user alone can read."""
    lines = []
    for role in ROLES:
        password = secrets.token_urlsafe(12)
        client.add_user(UserRequest(name=f"demo-{role.value}", password=SecretStr(password), role=role))
        lines.append(f"demo-{role.value} {password}\n")
    write_atomic(passwords, "".join(lines), mode=0o600)
