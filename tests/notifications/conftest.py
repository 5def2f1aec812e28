"""A database, rules and events for the notifications."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest

from core.api_schema import Channel, ChannelKind, Event, Priority, RuleRequest
from core.inference.database.engine import Database
from core.inference.events.ids import new_id
from core.inference.notifications import notifier
from core.inference.notifications.notifier import Notifier
from core.inference.notifications.rule_store import RuleStore
from core.inference.settings import ServiceSettings

for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):  # the receivers are on this machine
    os.environ.pop(name, None)
    os.environ.pop(name.lower(), None)


def webhook(url: str, secret_variable: str = "") -> Channel:
    return Channel(kind=ChannelKind.WEBHOOK, to=url, secret_variable=secret_variable)


def mail(to: str) -> Channel:
    return Channel(kind=ChannelKind.EMAIL, to=to)


def rule(name: str, *channels: Channel, within: float = 15, priority: Priority = Priority.LOW) -> RuleRequest:
    return RuleRequest(name=name, channels=channels, within=within, priority=priority)


def event(camera: str = "gate", kind: str = "person", priority: Priority = Priority.NORMAL) -> Event:
    now = datetime.now(timezone.utc)
    return Event(id=new_id(), camera=camera, type=kind, priority=priority, started=now, decided=now, score=0.9)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(f"sqlite:///{tmp_path / 'xaiva.db'}")) as opened:
        yield opened


@pytest.fixture
def either(database_url: str) -> Iterator[Database]:
    """A database of each kind."""
    with closing(Database(database_url)) as opened:
        yield opened


@pytest.fixture
def rules(database: Database) -> RuleStore:
    return RuleStore(database)


@pytest.fixture
def start(database: Database, rules: RuleStore, tmp_path: Path) -> Iterator[Callable[..., Notifier]]:
    """Start notifiers; all end with the test."""
    running: list[Notifier] = []

    def one(**settings: object) -> Notifier:
        running.append(Notifier(database, rules, ServiceSettings(data=tmp_path, **settings)))
        running[-1].start()
        return running[-1]

    yield one
    for notifier_ in running:
        notifier_.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing channel is tried again at once."""
    monkeypatch.setattr(notifier, "BACKOFF_SECONDS", (0.05,))
