"""Events as they come in: filters, pictures, acknowledging, clips and export."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import on

from core.api_schema import Event, EventQuery, ServiceStatus
from tui.actions import bindings
from tui.event_feed import EventFeed, EventList
from tui.formatters import events as event_format
from tui.formatters.cells import Cell, Span
from tui.formatters.numbers import size
from tui.screens.picture_list import PictureListScreen
from tui.screens.save_file import ReportProgress, WriteFile
from tui.widgets.choice_list import ChoiceList, ChoiceRow
from tui.widgets.panel import Formatter, empty_content
from tui.widgets.picture_view import Fetch
from tui.widgets.row_order import RowOrder

SORTS = {0: "time", 5: "score"}  # column → what the service can sort by
NEWEST_FIRST = RowOrder(0, descending=True)  # the order that nobody has to choose


class EventsScreen(PictureListScreen):
    """The events that match the filter; below them the picture and the details of the one under the cursor."""

    NAME = "events"
    SOURCE = "events"
    SOURCES = ("events", "cameras")
    LOGIN_SOURCE = "events"
    TITLE = "Events"
    COLUMNS = event_format.COLUMNS
    EMPTY = "no events yet"
    NAME_CELLS = 4
    BINDINGS: ClassVar[list[Any]] = bindings("events", "list")

    def __init__(self) -> None:
        super().__init__()
        self._query = EventQuery()
        self._feed: EventFeed | None = None

    # -- what is shown -------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._set_query(self._query)
        super().on_mount()

    def _set_query(self, query: EventQuery) -> None:
        self._query = query
        self._feed = EventFeed(lambda page: self.console.ask_service(lambda client: client.events(page)), query)
        self.console.store.retarget("events", self._feed)
        self.choices.row_order = _row_order(query)
        self.choices.unmark()

    def rows(self, value: EventList) -> list[ChoiceRow]:
        return [ChoiceRow(event.id, event_format.row(event), event) for event in value.events]

    def stale_cells(self, cells: tuple[Cell, ...], words: str) -> tuple[Cell, ...]:
        """An event's facts do not change; only whether it was acknowledged is unknown."""
        when, _mark, *rest = super().stale_cells(cells, words)
        return (when, Span("?", "stale"), *rest)

    def feed(self) -> None:
        """The list with its filter, the details and the picture."""
        words = event_format.filter_text(self._query)
        self.EMPTY = "no event matches the filter: press f to change it" if words else type(self).EMPTY  # type: ignore[misc]
        super().feed()
        cameras = self.reading("cameras")
        status: ServiceStatus | None = None if cameras.is_stale else cameras.value
        waiting = f"{status.unacknowledged} waiting" if status and status.unacknowledged else ""
        title = " · ".join(word for word in (self.TITLE, words, waiting) if word)
        if self.choices.border_title != title:
            self.choices.border_title = title
        self._aim_picture(self.selected())

    def _aim_picture(self, event: Event | None) -> None:
        if event is None:
            self.picture.set_source("", None, title="Picture")
        elif not event.snapshot:
            self.picture.set_source(event.id, None, words="no picture was kept", title="Picture")
        else:
            self.picture.set_source(
                event.id, self._fetch_thumbnail(event.id), title=f"{event.camera_name or event.camera}"
            )

    def row_changed(self) -> None:
        """Show the event's picture; at the end of the list, load the next page."""
        listed: EventList | None = self.reading("events").value
        if listed is not None and listed.more and self._feed is not None and self.choices.key == listed.events[-1].id:
            self._feed.load_more()
            self.console.store.ask_now("events")
        self.update_now()

    def detail(self) -> tuple[Formatter, str, str]:
        event = self.selected()
        return (partial(event_format.detail, event), "", "") if event else (empty_content, "", "")

    def show_detail(self) -> None:
        """Use type and time as the title: the key is a UUID."""
        super().show_detail()
        event = self.selected()
        self.query_one("#detail").border_title = (
            f"{event.type} {event_format.local_datetime(event.started)}" if event else self.TITLE
        )

    def selected(self) -> Event | None:
        listed: EventList | None = self.reading("events").value
        return next((event for event in listed.events if event.id == self.choices.key), None) if listed else None

    def _fetch_thumbnail(self, event: str) -> Fetch:
        return lambda width: self.console.service.event_thumbnail(event, width)

    @on(ChoiceList.Chosen, "#choices")
    def action_large(self) -> None:
        from tui.screens.large_picture import LargePicture

        event = self.selected()
        if event is None or not event.snapshot:
            self.notify("no picture was kept" if event else "no event selected")
            return
        title = f"{event.camera_name or event.camera} · {event.type} · {event_format.local_datetime(event.started)}"
        self.app.push_screen(LargePicture(event.id, title, self._fetch_thumbnail(event.id), live=False))

    # -- filters -------------------------------------------------------------------------------------------------------

    def show_row(self, key: str) -> None:
        """Show the events of the camera `key`; an event itself is nobody's relative."""
        self._set_query(EventQuery(camera=key, sort=self._query.sort, ascending=self._query.ascending))
        self.update_now()

    @on(ChoiceList.Reordered, "#choices")
    def _reordered(self) -> None:
        """Ask the service for the events in that order: the list has only some of them."""
        order = self.choices.row_order or NEWEST_FIRST
        update = {"sort": SORTS[order.column], "ascending": not order.descending}
        self._set_query(self._query.model_copy(update=update))
        self.update_now()

    def action_open(self) -> None:
        acknowledged = None if self._query.acknowledged is False else False
        self._set_query(self._query.model_copy(update={"acknowledged": acknowledged}))
        self.update_now()

    def action_camera(self) -> None:
        event = self.selected()
        camera = None if self._query.camera or event is None else event.camera
        self._set_query(self._query.model_copy(update={"camera": camera}))
        self.update_now()

    def action_filter(self) -> None:
        from tui.screens.event_filter import EventFilter

        def done(query: EventQuery | None) -> None:
            if query is not None:
                self._set_query(query)
                self.update_now()

        status: ServiceStatus | None = self.reading("cameras").value
        listed: EventList | None = self.reading("events").value
        cameras = [camera.id for camera in status.cameras] if status else []
        events = listed.events if listed else []
        products = sorted({event.product for event in events if event.product})
        types = sorted({event.type for event in events})
        self.app.push_screen(EventFilter(self.site, self._query, cameras, products, types), done)

    # -- acknowledging -------------------------------------------------------------------------------------------------

    def action_acknowledge(self) -> None:
        from tui.screens.acknowledge import acknowledge

        if ids := self._marked_or_selected():
            self.background(partial(acknowledge, self.console.service, ids), self._acknowledged)

    def action_acknowledge_all(self) -> None:
        """Ask for a note, then acknowledge the marked events, else all that match the filter."""
        from tui.screens.acknowledge import AcknowledgeMany, unacknowledged_ids

        marked = list(self.choices.marked)
        if marked:
            title, text = f"Acknowledge {len(marked)} events?", "All marked events."
        else:
            words = event_format.filter_text(self._query) or "all events"
            title, text = (
                "Acknowledge all waiting events?",
                f"This includes events further down than shown. Filter: {words}.",
            )
        find = (lambda: marked) if marked else partial(unacknowledged_ids, self.console.service, self._query)

        def done(count: int | None) -> None:
            if count is not None:
                self._acknowledged(count)

        self.app.push_screen(AcknowledgeMany(title, self.site, text, find), done)

    def _acknowledged(self, count: int) -> None:
        self.notify(f"{count} acknowledged")
        self.choices.unmark()
        self._refresh()

    def action_protect(self) -> None:
        """Protect the clip and picture, or end the protection."""
        if (event := self._selected_or_notify()) is not None:
            work = partial(self.console.service.protect, event.id, not event.protected)
            self.background(work, lambda _: self._refresh())

    # -- clips and export ----------------------------------------------------------------------------------------------

    def action_clip(self) -> None:
        event = self._selected_or_notify()
        if event is None:
            return
        if event.clip.state != "done":
            self.notify(f"no clip: {event.clip.why or event.clip.state}")
            return
        name = f"{event.camera}-{event.started.astimezone():%Y%m%d-%H%M%S}.mp4"
        work = partial(_save_clip, self.console.service.save_clip, event.id)
        self._save(
            "Save the clip", name, work, lambda done, total: f"{size(done)} of {size(total or event.clip.bytes)}"
        )

    def action_export(self) -> None:
        marked = list(self.choices.marked)
        name = f"events-{datetime.now():%Y%m%d-%H%M%S}.csv"
        title = f"Export {len(marked)} events" if marked else "Export all matching events"
        self._save(f"{title}: .csv or .json", name, partial(self._export, marked), lambda done, _: f"{done} events")

    def _export(self, marked: list[str], path: Path, report: ReportProgress) -> int:
        from core.service_client.export import export, format_of

        service = self.console.service

        def chosen_events() -> Iterator[Event]:
            if marked:
                yield from (service.event(identifier) for identifier in marked)
            else:
                yield from service.all_events(self._query.model_copy(update={"limit": 1000}))

        return export(chosen_events(), path, format_of(path), lambda count: report(count, len(marked)))

    def _save(self, title: str, name: str, work: WriteFile, words: Any) -> None:
        from tui.screens.save_file import SaveFile

        def done(path: Path | None) -> None:
            self.notify(f"saved to {path}" if path else "nothing was saved")

        self.app.push_screen(SaveFile(title, self.site, name, work, words), done)

    # ------------------------------------------------------------------------------------------------------------------

    def _marked_or_selected(self) -> list[str]:
        marked = list(self.choices.marked)
        if marked or (event := self._selected_or_notify()) is None:
            return marked
        return [event.id]

    def _selected_or_notify(self) -> Event | None:
        event = self.selected()
        if event is None:
            self.notify("no event selected")
        return event

    def _refresh(self) -> None:
        """Something changed: read the older pages again too."""
        if self._feed is not None:
            self._feed.reload_all()
        self.console.store.ask_now("events", "cameras")


def _save_clip(save: Any, event: str, path: Path, report: ReportProgress) -> object:
    return save(event, path, report)


def _row_order(query: EventQuery) -> RowOrder | None:
    column = next(column for column, sort in SORTS.items() if sort == query.sort)
    order = RowOrder(column, not query.ascending)
    return None if order == NEWEST_FIRST else order
