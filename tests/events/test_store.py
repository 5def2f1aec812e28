"""Events as people ask for them, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from core.api_schema import Analysis, Event, EventQuery, Priority
from core.errors import InputError
from core.inference.database.engine import Database
from core.inference.events.ids import new_id
from core.inference.events.logger import EventLogger
from core.inference.events.store import EventStore
from tests.events.support import an_event, logging_to
from tests.support import PATIENCE, SQLITE_ALONE

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)


@dataclass
class Parts:
    database: Database
    logger: EventLogger
    store: EventStore

    def keep(self, *events: Event) -> None:
        for event in events:
            self.logger.log(event)
        assert self.logger.flush(PATIENCE)

    def ids(self, cameras: list[str] | None = None, **query: object) -> list[str]:
        return [event.id for event in self.store.page(cameras=cameras, query=EventQuery.model_validate(query)).events]


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Iterator[Parts]:
    with logging_to(database, tmp_path / "spool") as logger:
        yield Parts(database, logger, EventStore(database, logger))


def at(minutes: float, **fields: object) -> Event:
    moment = NOON + timedelta(minutes=minutes)
    return an_event(**{"started": moment, "decided": moment, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("sort", ["time", "score"])
def test_pages_hold_every_event_once_in_order(parts: Parts, sort: str, ascending: bool) -> None:
    """Many share a moment and a score: only the id tells them apart."""
    events = [at(number // 7, score=(number % 3) / 4) for number in range(60)]
    parts.keep(*events)
    paged: list[Event] = []
    query = EventQuery.model_validate({"sort": sort, "ascending": ascending, "limit": 7})
    while True:
        page = parts.store.page(cameras=None, query=query)
        assert len(page.events) == 7 or not page.next
        paged += page.events
        if not page.next:
            break
        query = query.model_copy(update={"cursor": page.next})
    by = (lambda event: (event.started, event.id)) if sort == "time" else (lambda event: (event.score, event.id))
    assert paged == sorted(events, key=by, reverse=not ascending)


def test_a_page_stays_where_it_was_while_events_come(parts: Parts) -> None:
    old = [at(number) for number in range(6)]
    parts.keep(*old)
    first = parts.store.page(cameras=None, query=EventQuery(limit=3))
    parts.keep(*(at(100 + number) for number in range(5)))
    second = parts.ids(limit=3, cursor=first.next)
    assert [event.id for event in first.events] + second == [event.id for event in reversed(old)]


def test_each_filter_alone_and_all_together(parts: Parts) -> None:
    low = at(0, camera="gate", type="motion", priority=Priority.LOW, score=0.5)
    high = at(1, camera="gate", type="person", priority=Priority.HIGH, score=0.75, note="50%_of \\ it")
    other = at(2, camera="yard", camera_name="Hof Süd", score=0.9, analysis=Analysis(description="A Red bag"))
    parts.keep(low, high, other)
    newest_first = [other.id, high.id, low.id]
    assert parts.ids() == newest_first
    assert parts.ids(camera="gate") == [high.id, low.id]
    assert parts.ids(type="person") == [high.id]
    assert parts.ids(priority="normal") == [other.id, high.id]  # that or above
    assert parts.ids(since=high.started) == [other.id, high.id]
    assert parts.ids(until=high.started) == [low.id]
    assert parts.ids(minimum_score=0.75) == [other.id, high.id]
    assert parts.ids(text="red BAG") == [other.id]
    assert parts.ids(text="hof") == [other.id]
    assert parts.ids(text="%_") == [high.id]  # taken as it stands
    assert parts.ids(text="\\") == [high.id]
    assert parts.ids(text="nowhere") == []
    assert parts.ids(camera="gate", priority="high", minimum_score=0.6, acknowledged=False) == [high.id]


def test_nobody_sees_more_cameras_than_allowed(parts: Parts) -> None:
    gate, yard = at(0, camera="gate"), at(1, camera="yard")
    parts.keep(gate, yard)
    assert parts.ids(["gate"]) == [gate.id]
    assert parts.ids([]) == []
    assert parts.ids(["gate"], camera="yard") == []
    assert parts.store.unacknowledged(["gate"]) == 1
    assert parts.store.unacknowledged([]) == 0
    assert parts.store.unacknowledged(None) == 2
    assert parts.store.acknowledge([gate.id, yard.id], "ada", "", ["gate"]) == 1
    assert parts.ids(acknowledged=False) == [yard.id]


def test_acknowledging_counts_only_what_was_not(parts: Parts) -> None:
    first, second = at(0), at(1, note="from the flow")
    parts.keep(first, second)
    notified: list[Event] = []
    parts.logger.subscribe(notified.append)
    assert parts.store.acknowledge([first.id, new_id()], "ada", "a cat", None) == 1
    assert parts.store.acknowledge([first.id, second.id], "bob", "", None) == 1
    first_event, second_event = parts.store.get(first.id), parts.store.get(second.id)
    assert first_event is not None
    assert second_event is not None
    assert (first_event.acknowledged_by, first_event.note) == ("ada", "a cat")
    assert first_event.acknowledged is not None
    assert (second_event.acknowledged_by, second_event.note) == ("bob", "from the flow")
    assert parts.store.unacknowledged(None) == 0
    assert [event.id for event in notified] == [first.id, second.id]


def test_a_note_of_who_acknowledges_is_added_to_that_of_the_event(parts: Parts) -> None:
    part = at(0, note="part lot 9")
    parts.keep(part)
    parts.store.acknowledge([part.id], "ada", "only dust", None)
    seen = parts.store.get(part.id)
    assert seen is not None
    assert seen.note == "part lot 9\nonly dust"


def test_protecting(parts: Parts) -> None:
    event = at(0)
    parts.keep(event)
    assert parts.store.protect(event.id, True)
    protected = parts.store.get(event.id)
    assert protected is not None
    assert protected.protected
    assert not parts.store.protect(new_id(), True)
    late = at(1)
    parts.logger.log(late)  # the database need not have it yet
    assert parts.store.protect(late.id, True)


def test_what_is_no_id_is_no_event(parts: Parts) -> None:
    for text in ("", "x", "a\0b", "../x"):
        assert parts.store.get(text) is None
        assert not parts.store.protect(text, True)
    assert parts.store.acknowledge(["x", "a\0b"], "ada", "", None) == 0


def test_an_event_is_found_before_the_database_has_it(parts: Parts) -> None:
    parts.logger.stop()
    logger = EventLogger(parts.database, parts.logger._spool._folder)  # the same spool, and nobody writes
    event = at(0)
    logger.log(event)
    assert EventStore(parts.database, logger).get(event.id) == event
    logger.stop()


@SQLITE_ALONE
@pytest.mark.parametrize("cursor", ["x", "bm90IGpzb24=", "WzEsMl0=", "é", "WyJ0aW1lLSIsICJ5ZXN0ZXJkYXkiLCAieCJd"])
def test_what_is_no_cursor_is_bad_input(parts: Parts, cursor: str) -> None:
    with pytest.raises(InputError, match="Cursor"):
        parts.ids(cursor=cursor)


@SQLITE_ALONE
def test_a_cursor_of_another_order_is_bad_input(parts: Parts) -> None:
    parts.keep(at(0), at(1))
    following = parts.store.page(cameras=None, query=EventQuery(limit=1)).next
    with pytest.raises(InputError, match="another sort order"):
        parts.ids(cursor=following, sort="score")
    with pytest.raises(InputError, match="another sort order"):
        parts.ids(cursor=following, ascending=True)
