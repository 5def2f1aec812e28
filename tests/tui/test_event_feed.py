"""The event list while events come and change and pages are read: no event is missing or listed twice."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from core.api_schema import Event, EventPage, EventQuery
from tui.event_feed import MAX_PAGES, PAGE_SIZE, EventFeed

START = datetime(2026, 1, 31, tzinfo=timezone.utc)


class Archive:
    """Answers as the service does: newest first, pages by cursor."""

    def __init__(self, count: int) -> None:
        self.events: list[Event] = []
        self.asked: list[str] = []
        self.add(count)

    def add(self, count: int) -> None:
        for _ in range(count):
            number = len(self.events)
            moment = START + timedelta(seconds=number)
            event = Event(
                id=f"{number:06}",
                camera="gate",
                type="motion",
                started=moment,
                decided=moment,
                score=number % 100 / 100,
            )
            self.events.append(event)

    def __call__(self, query: EventQuery) -> EventPage:
        self.asked.append(query.cursor)
        matching = [event for event in self.events if query.acknowledged is None or event.acknowledged is None]
        order = sorted(matching, key=lambda one: (one.score, one.id) if query.sort == "score" else one.id, reverse=True)
        start = next((at for at, one in enumerate(order) if one.id == query.cursor), -1) + 1 if query.cursor else 0
        page = order[start : start + query.limit]
        has_more = start + query.limit < len(order)
        return EventPage(events=page, next=page[-1].id if has_more else "")


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


@given(
    st.integers(0, 3 * PAGE_SIZE),
    st.lists(st.one_of(st.just("more"), st.integers(0, PAGE_SIZE + 20)), max_size=12),
    st.sampled_from(["time", "score"]),
)
@settings(max_examples=60, deadline=None)
def test_what_is_listed_is_the_newest_without_a_gap(begin: int, steps: list[str | int], sort: str) -> None:
    archive = Archive(begin)
    feed = EventFeed(archive, EventQuery.model_validate({"sort": sort}))
    listed = feed()
    for step in steps:
        if isinstance(step, str):
            feed.load_more()
        else:
            archive.add(step)
        listed = feed()
        everything = ids(archive(EventQuery.model_validate({"sort": sort, "limit": 1000})).events)
        shown = ids(listed.events)
        assert len(set(shown)) == len(shown)
        assert listed.more == (len(shown) < len(archive.events))
        assert shown == everything[: len(shown)]


def test_a_quiet_list_costs_one_page_each_time() -> None:
    archive = Archive(3 * PAGE_SIZE)
    feed = EventFeed(archive, EventQuery())
    feed()
    feed.load_more()
    feed()
    archive.asked.clear()
    assert len(feed().events) == 2 * PAGE_SIZE
    assert archive.asked == [""]


def test_what_was_acknowledged_leaves_the_list_of_those_that_wait() -> None:
    archive = Archive(2 * PAGE_SIZE)
    feed = EventFeed(archive, EventQuery(acknowledged=False))
    feed.load_more()
    assert "000120" in ids(feed().events)
    archive.events[120] = archive.events[120].model_copy(update={"acknowledged": START})
    archive.events[20] = archive.events[20].model_copy(update={"acknowledged": START})
    assert "000120" not in ids(feed().events)  # in the fresh page: it goes by itself
    feed.reload_all()
    assert "000020" not in ids(feed().events)  # in an older one: when something was changed here


def test_the_list_does_not_grow_for_ever() -> None:
    archive = Archive(PAGE_SIZE)
    feed = EventFeed(archive, EventQuery())
    for _ in range(30):
        archive.add(PAGE_SIZE // 2)
        assert len(feed().events) <= 3 * PAGE_SIZE
    for _ in range(MAX_PAGES + 5):
        feed.load_more()
        assert len(feed().events) <= MAX_PAGES * PAGE_SIZE
