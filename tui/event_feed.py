"""The events of one query: the newest page is read each time, older pages are kept.

In any order but newest first, new events can come anywhere, so all pages are read again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.api_schema import Event, EventPage, EventQuery

PAGE_SIZE = 100
MAX_PAGES = 20  # kept at most; to see more, narrow the filter or export


@dataclass(frozen=True)
class EventList:
    """Events in the query's order; `more` when there are further ones."""

    query: EventQuery
    events: list[Event]
    more: bool


class EventFeed:
    """A source of the store, called by its thread; `load_more` and `reload_all` may be called by others."""

    def __init__(self, ask: Callable[[EventQuery], EventPage], query: EventQuery) -> None:
        self.query = query.model_copy(update={"limit": PAGE_SIZE, "cursor": ""})
        self._ask = ask
        self._newest_first = (
            query.sort == "time" and not query.ascending
        )  # where new events come; elsewhere all is read again
        self._pages = 1
        self._loaded: list[Event] = []
        self._cursor = ""

    def load_more(self) -> None:
        """Also read the next page."""
        self._pages = min(len(self._loaded) // PAGE_SIZE + 1, MAX_PAGES)

    def reload_all(self) -> None:
        """Read the older pages again too, because an event in them changed."""
        self._loaded = []

    def __call__(self) -> EventList:
        """Read the events. Raises XaivaError."""
        first_page = self._ask(self.query)
        events, cursor = first_page.events, first_page.next
        if cursor and self._newest_first and (older := self._loaded_after(events[-1].id)) is not None:
            events, cursor = [*events, *older], self._cursor
        while cursor and len(events) < self._pages * PAGE_SIZE:
            page = self._ask(self.query.model_copy(update={"cursor": cursor}))
            events, cursor = [*events, *page.events], page.next
        self._loaded, self._cursor = events, cursor
        return EventList(self.query, events, bool(cursor))

    def _loaded_after(self, identifier: str) -> list[Event] | None:
        """The loaded events after that one; None when it is not loaded, or too many are."""
        ids = [event.id for event in self._loaded]
        if identifier not in ids or len(ids) > (self._pages + 1) * PAGE_SIZE:
            return None
        return self._loaded[ids.index(identifier) + 1 :]
