"""Acknowledging many events with a note."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.api_schema import EventQuery
from core.service_client import ServiceClient
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters.cells import wrap
from tui.screens.field_form import Field, FieldForm

AT_ONCE = 1000  # ids in one request: the service takes no more


class AcknowledgeMany(FieldForm[int]):
    """Gives back how many were acknowledged, None when the dialog was left."""

    VERB = "Acknowledge"
    WIDE = False

    def __init__(self, title: str, site: Site, text: str, find: Callable[[], list[str]]) -> None:
        super().__init__(title, site)
        self._text = text
        self._find = find

    def fields(self) -> Sequence[Field]:
        """A note for all of them."""
        return (Field("note", "Note", hint="kept with them; may be empty"),)

    def on_mount(self) -> None:
        """Which ones."""
        self.show_message(lambda width: wrap(self._text, width))

    def send(self) -> None:
        """Find them, then acknowledge them."""
        service, note = console_of(self).service, self.value("note")
        self.run_once(lambda: acknowledge(service, self._find(), note), self.dismiss)


def acknowledge(service: ServiceClient, ids: Sequence[str], note: str = "") -> int:
    """In a thread: returns how many had not been before."""
    batches = [list(ids[at : at + AT_ONCE]) for at in range(0, len(ids), AT_ONCE)]
    return sum(service.acknowledge(batch, note) for batch in batches)


def unacknowledged_ids(service: ServiceClient, query: EventQuery) -> list[str]:
    """In a thread: all events of a filter that wait for somebody."""
    waiting_query = query.model_copy(update={"acknowledged": False, "cursor": "", "limit": AT_ONCE})
    return [] if query.acknowledged else [event.id for event in service.all_events(waiting_query)]
