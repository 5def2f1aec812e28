"""The events of one query: the newest page fresh each time, older ones as they were when read.

In another order than newest first new events come anywhere, and every page that is shown is read again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.inference.schemas import Event, EventPage, EventQuery

PAGE = 100
PAGES = 20  # kept at most: who wants more narrows the filter or exports


@dataclass(frozen=True)
class EventList:
    """Events in the query's order; `more`: there are further ones."""

    query: EventQuery
    events: list[Event]
    more: bool


class EventFeed:
    """A source of the store: called by its one thread. `want_more` and `forget` may be called by another."""

    def __init__(self, ask: Callable[[EventQuery], EventPage], query: EventQuery) -> None:
        self.query = query.model_copy(update={"limit": PAGE, "cursor": ""})
        self._ask = ask
        self._on_top = (
            query.sort == "time" and not query.ascending
        )  # where new events come; elsewhere all is read again
        self._pages = 1
        self._known: list[Event] = []
        self._cursor = ""

    def want_more(self) -> None:
        """Read one page more."""
        self._pages = min(len(self._known) // PAGE + 1, PAGES)

    def forget(self) -> None:
        """Read the older pages again, too: something in them was changed."""
        self._known = []

    def __call__(self) -> EventList:
        """The events now. Raises XaivaError."""
        fresh = self._ask(self.query)
        events, cursor = fresh.events, fresh.next
        if cursor and self._on_top and (older := self._after(events[-1].id)) is not None:
            events, cursor = [*events, *older], self._cursor
        while cursor and len(events) < self._pages * PAGE:
            page = self._ask(self.query.model_copy(update={"cursor": cursor}))
            events, cursor = [*events, *page.events], page.next
        self._known, self._cursor = events, cursor
        return EventList(self.query, events, bool(cursor))

    def _after(self, identifier: str) -> list[Event] | None:
        """What is known to follow that event; None when nothing is, or so much has come that it is read again."""
        ids = [event.id for event in self._known]
        if identifier not in ids or len(ids) > (self._pages + 1) * PAGE:
            return None
        return self._known[ids.index(identifier) + 1 :]
