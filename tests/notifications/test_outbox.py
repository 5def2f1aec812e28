"""What becomes one message and what becomes two. Where SQL differs, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo

import pytest
from sqlalchemy import update

from core.api_schema import Priority
from core.inference.database.engine import Database
from core.inference.database.models import OutboxRow
from core.inference.notifications import outbox as outbox_module
from core.inference.notifications.outbox import Outbox
from tests.notifications.conftest import event, mail, rule, webhook

OPS = rule("ops", webhook("http://127.0.0.1:1/hook"), within=15)
NOW = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
AT_ONCE = rule("each", webhook("http://127.0.0.1:1/hook"), within=0)


class Stopped(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return NOW


@pytest.fixture(autouse=True)
def _stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "datetime", Stopped)


def claim_all(outbox: Outbox) -> None:
    """As if every message were being sent."""
    for message in outbox.waiting():
        assert outbox.claim(message.id)


def dues(outbox: Outbox) -> list[float]:
    """Seconds until each waiting message is due."""
    return [(message.due - NOW).total_seconds() for message in outbox.waiting()]


def test_the_first_goes_at_once_and_the_others_follow_as_one(either: Database) -> None:
    outbox = Outbox(either)
    outbox.put(event(), [OPS])
    assert dues(outbox) == [0]
    claim_all(outbox)
    later = [event() for _ in range(5)]
    for one in later:
        assert outbox.put(one, [OPS]) == 1
    assert dues(outbox) == [0, 15]
    message = outbox.claim(outbox.waiting()[1].id)
    assert message is not None
    assert (message.count, message.events) == (5, tuple(one.id for one in later))
    assert message.first == later[0].started
    assert message.event == later[-1]


def test_after_the_window_an_event_goes_at_once_again(database: Database) -> None:
    outbox = Outbox(database)
    outbox.put(event(), [OPS])
    claim_all(outbox)
    past = NOW - timedelta(seconds=16)
    database.write(lambda session: session.execute(update(OutboxRow).values(due=past, created=past)))
    outbox.put(event(), [OPS])
    assert dues(outbox) == [-16, 0]


def test_other_cameras_types_rules_and_channels_are_other_messages(database: Database) -> None:
    outbox = Outbox(database)
    two = rule("two", webhook("http://127.0.0.1:1/hook"), mail("ops@example.org"))
    for one in (event("gate"), event("yard"), event("gate", "vehicle")):
        assert outbox.put(one, [OPS, two]) == 3
    assert dues(outbox) == [0] * 9


def test_what_was_not_tried_yet_takes_in_what_comes(database: Database) -> None:
    outbox = Outbox(database)
    for _ in range(40):
        outbox.put(event(), [OPS])
    (only,) = outbox.waiting()
    message = outbox.claim(only.id)
    assert message is not None
    assert message.count == 40


def test_a_more_urgent_event_waits_for_nothing(database: Database) -> None:
    outbox = Outbox(database)
    outbox.put(event(), [OPS])
    claim_all(outbox)
    outbox.put(event(), [OPS])
    assert sorted(dues(outbox)) == [0, 15]
    outbox.put(event(priority=Priority.CRITICAL), [OPS])
    assert dues(outbox) == [0, 0]
    first = outbox.claim(outbox.waiting()[0].id)
    assert first is not None
    assert (first.event.priority, first.count) == (Priority.CRITICAL, 2)


def test_a_clock_that_was_set_back_makes_no_flood(either: Database) -> None:
    """Messages of before look like the newest until that time comes again."""
    outbox = Outbox(either)
    for _ in range(3):
        outbox.put(event(), [OPS])
        claim_all(outbox)
    later = NOW + timedelta(hours=1)
    either.write(lambda session: session.execute(update(OutboxRow).values(due=later, created=later)))
    outbox.put(event(), [OPS])
    claim_all(outbox)
    for _ in range(4):
        outbox.put(event(), [OPS])
    assert sorted(dues(outbox))[:-3] == [0, 15]


def test_without_a_window_each_event_is_a_message(database: Database) -> None:
    outbox = Outbox(database)
    for _ in range(3):
        outbox.put(event(), [AT_ONCE])
    assert dues(outbox) == [0, 0, 0]


def test_the_most_urgent_stands_first(either: Database) -> None:
    outbox = Outbox(either)
    for priority in (Priority.NORMAL, Priority.CRITICAL, Priority.LOW, Priority.HIGH):
        outbox.put(event(f"camera-{priority.value}", priority=priority), [OPS])
    messages = [outbox.claim(one.id) for one in outbox.waiting()]
    assert [message.event.priority.rank for message in messages if message] == [3, 2, 1, 0]


def test_an_event_that_is_told_twice_counts_once(database: Database) -> None:
    outbox = Outbox(database)
    one, other = event(), event()
    assert [outbox.put(each, [OPS]) for each in (one, other, one, other)] == [1, 1, 0, 0]
    claim_all(outbox)
    assert outbox.put(one, [OPS]) == 0
    assert [delivery.count for delivery in outbox.deliveries(10)] == [2]


def test_what_ended_long_ago_is_forgotten_what_waits_is_not(either: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(either)
    outbox.put(event("gate"), [OPS])
    outbox.put(event("yard"), [OPS])
    outbox.mark_sent(outbox.waiting()[0].id, NOW)
    past = NOW - timedelta(days=31)
    either.write(lambda session: session.execute(update(OutboxRow).values(created=past)))
    outbox.prune()
    assert [delivery.state for delivery in outbox.deliveries(10)] == ["waiting"]
    monkeypatch.setattr(outbox_module, "KEPT_MESSAGES", 3)
    for number in range(6):
        outbox.put(event(f"camera-{number}"), [AT_ONCE])
    for one in outbox.waiting():
        outbox.give_up(one.id, "too late")
    outbox.prune()
    assert len(outbox.deliveries(10)) == 3
    assert (outbox.status().given_up, outbox.status().waiting) == (3, 0)
