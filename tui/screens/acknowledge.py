"""Acknowledging many events with a note."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.api_schema import EventQuery
from core.service_client import ServiceClient
from core.site import Site
from tui.app_protocol import console_of
from tui.formatters.cells import wrap
from tui.screens.field_form import Field, FieldForm

MAX_IDS = 1000  # in one request: the service accepts no more


class AcknowledgeMany(FieldForm[int]):
    """Returns how many events were acknowledged, None when the dialog was cancelled."""

    VERB = "Acknowledge"
    WIDE = False

    def __init__(self, title: str, site: Site, text: str, find: Callable[[], list[str]]) -> None:
        super().__init__(title, site)
        self._text = text
        self._find = find

    def fields(self) -> Sequence[Field]:
        return (Field("note", "Note", hint="optional; kept with each event"),)

    def on_mount(self) -> None:
        self.show_message(lambda width: wrap(self._text, width))

    def send(self) -> None:
        """Find the events, then acknowledge them."""
        service, note = console_of(self).service, self.value("note")
        self.run_once(lambda: acknowledge(service, self._find(), note), self.dismiss)


def acknowledge(service: ServiceClient, ids: Sequence[str], note: str = "") -> int:
    """Acknowledge the events and return how many were not acknowledged before. Blocks."""
    batches = [list(ids[at : at + MAX_IDS]) for at in range(0, len(ids), MAX_IDS)]
    return sum(service.acknowledge(batch, note) for batch in batches)


def unacknowledged_ids(service: ServiceClient, query: EventQuery) -> list[str]:
    """The ids of all unacknowledged events of a filter. Blocks."""
    waiting_query = query.model_copy(update={"acknowledged": False, "cursor": "", "limit": MAX_IDS})
    return [] if query.acknowledged else [event.id for event in service.all_events(waiting_query)]
