"""Notification rules, channels and deliveries."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from core.api_schema.base import CameraId, Name, RequestModel, ResponseModel, Schedule, StrictBool, Timestamp
from core.api_schema.event_types import EventType, event_types
from core.api_schema.events import Priority
from core.open_enum import OpenEnum


class ChannelKind(OpenEnum):
    """EMAIL uses the service's mail server, WEBHOOK sends signed JSON, APPRISE covers everything else."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    APPRISE = "apprise"


class Channel(RequestModel):
    """An address to which notifications are sent."""

    kind: ChannelKind
    to: Annotated[str, Field(min_length=3, max_length=1000)]
    """A mail address, an http(s) URL or an Apprise URL. Logins in it are never shown again."""
    secret_variable: Annotated[str, Field(pattern=r"^([A-Z][A-Z0-9_]*)?$", max_length=80)] = ""
    """The environment variable of the service that has the webhook's HMAC key."""


class RuleRequest(RequestModel):
    """A notification rule: an event that matches all its conditions is sent over every channel."""

    name: Name
    enabled: StrictBool = True
    cameras: Annotated[tuple[CameraId, ...], Field(max_length=256)] = ()
    """Empty: all cameras."""
    types: Annotated[tuple[EventType, ...], Field(max_length=64), AfterValidator(event_types)] = ()
    """Empty: all types."""
    priority: Priority = Priority.NORMAL
    """The lowest priority that notifies."""
    schedule: Schedule = ()
    channels: Annotated[tuple[Channel, ...], Field(min_length=1, max_length=16)]
    within: Annotated[float, Field(ge=0, le=3600, strict=True)] = 15
    """Events of the same camera and type within so many seconds become one message with a count."""


class Rule(ResponseModel):
    """A stored rule, without the credentials in its channels."""

    name: str
    enabled: bool
    cameras: tuple[str, ...]
    types: Annotated[tuple[str, ...], AfterValidator(event_types)]
    priority: Priority
    schedule: Schedule
    channels: tuple[Channel, ...]
    within: float


class Delivery(ResponseModel):
    """A message in the outbox."""

    id: str
    rule: str
    kind: ChannelKind
    to: str
    state: str
    """waiting, sent or given_up."""
    count: int = 1
    attempts: int = 0
    created: Timestamp
    sent: Timestamp | None = None
    why: str = ""
    """The newest error."""


class TestResult(ResponseModel):
    """The result of a test message, per channel."""

    __test__ = False  # not a pytest class

    sent: list[str] = []
    failed: dict[str, str] = {}
