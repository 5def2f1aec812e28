"""The dialog that narrows the list of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual import on
from textual.widget import Widget

from core.api_schema import JobQuery, JobState
from core.service_client import text_formats
from core.site import Site
from tui.screens.event_filter import datetime_text
from tui.screens.field_form import Field, FieldForm
from tui.widgets.button import Button

KINDS = ("index", "banks", "rollback")  # that every service with jobs has; others complete from the list


class JobFilter(FieldForm[JobQuery]):
    """Returns the new filter, None when the dialog was cancelled."""

    VERB = "Apply"

    def __init__(self, site: Site, query: JobQuery, kinds: Sequence[str], subjects: Sequence[str]) -> None:
        super().__init__("Filter jobs", site)
        self._query = query
        self._kinds = tuple(dict.fromkeys((*KINDS, *kinds)))
        self._subjects = tuple(subjects)

    def fields(self) -> Sequence[Field]:
        """All filters; an empty field filters nothing."""
        query = self._query
        states = tuple(state.value for state in JobState)
        times = "2h, 7d, today, 2026-01-31, 2026-01-31 12:00"
        return (
            Field("kind", "Kind", query.kind or "", choices=self._kinds),
            Field("state", "State", query.state.value if query.state else "", choices=states),
            Field("subject", "Subject", query.subject or "", choices=self._subjects),
            Field("since", "Since", datetime_text(query.since), times),
            Field("until", "Until", datetime_text(query.until), "same formats as Since"),
        )

    def extra_buttons(self) -> Iterable[Widget]:
        yield Button("All jobs", id="all")

    def send(self) -> None:
        fields: dict[str, object] = {name: text for name in ("kind", "subject") if (text := self.value(name))}
        if state := self.choice("state"):
            fields["state"] = state
        fields |= {
            name: text_formats.parse_time_of_past(text) for name in ("since", "until") if (text := self.value(name))
        }
        self.dismiss(text_formats.build_request(JobQuery, fields))

    @on(Button.Pressed, "#all")
    def _all(self) -> None:
        self.dismiss(JobQuery())
