"""Notification rules, channels and deliveries."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.api_schema.base import (
    CameraId,
    Name,
    RequestModel,
    ResponseModel,
    Schedule,
    Slug,
    StrictBool,
    Timestamp,
)
from core.api_schema.events import Priority
from core.open_enum import OpenEnum


class ChannelKind(OpenEnum):
    """EMAIL over the service's mail server, WEBHOOK as signed JSON, APPRISE for everything else."""

    EMAIL = "email"
    WEBHOOK = "webhook"
    APPRISE = "apprise"


class Channel(RequestModel):
    """`to` is a mail address, an http(s) URL, or an Apprise URL. Logins in it are never shown again.

    `secret_variable` names the environment variable of the service with the webhook's HMAC key.
    """

    kind: ChannelKind
    to: Annotated[str, Field(min_length=3, max_length=1000)]
    secret_variable: Annotated[str, Field(pattern=r"^([A-Z][A-Z0-9_]*)?$", max_length=80)] = ""


class RuleRequest(RequestModel):
    """A rule: an event that fits all of it is told over every channel. Empty `cameras` or `types`: all.

    `within` seconds the same camera and type are one message with a count.
    """

    name: Name
    enabled: StrictBool = True
    cameras: Annotated[tuple[CameraId, ...], Field(max_length=256)] = ()
    types: Annotated[tuple[Slug, ...], Field(max_length=64)] = ()
    priority: Priority = Priority.NORMAL
    schedule: Schedule = ()
    channels: Annotated[tuple[Channel, ...], Field(min_length=1, max_length=16)]
    within: Annotated[float, Field(ge=0, le=3600, strict=True)] = 15


class Rule(ResponseModel):
    """A rule as it stands; the channels' `to` have their credentials taken out."""

    name: str
    enabled: bool
    cameras: tuple[str, ...]
    types: tuple[str, ...]
    priority: Priority
    schedule: Schedule
    channels: tuple[Channel, ...]
    within: float


class Delivery(ResponseModel):
    """One message of the outbox: `state` is waiting, sent or given_up; `why` of the newest failure."""

    id: str
    rule: str
    kind: ChannelKind
    to: str
    state: str
    count: int = 1
    attempts: int = 0
    created: Timestamp
    sent: Timestamp | None = None
    why: str = ""


class TestResult(ResponseModel):
    """What a test send did, per channel."""

    __test__ = False  # not a test of pytest's

    sent: list[str] = []
    failed: dict[str, str] = {}
