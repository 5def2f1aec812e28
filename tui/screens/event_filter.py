"""The dialog that narrows the list of events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from textual import on
from textual.widget import Widget

from core.api_schema import EventQuery, Priority
from core.service_client import text_formats
from core.site import Site
from tui.screens.field_form import Field, FieldForm
from tui.widgets.button import Button

WAITING_STATE, ACKNOWLEDGED_STATE = "waiting", "acknowledged"
ORDERS = ("newest", "oldest", "highest", "lowest")
_TEXT_FIELDS = ("camera", "product", "type", "priority", "text")


class EventFilter(FieldForm[EventQuery]):
    """Returns the new filter, None when the dialog was cancelled."""

    VERB = "Apply"

    def __init__(
        self, site: Site, query: EventQuery, cameras: Sequence[str], products: Sequence[str], types: Sequence[str]
    ) -> None:
        super().__init__("Filter events", site)
        self._query = query
        self._cameras = tuple(cameras)
        self._products = tuple(products)
        self._types = tuple(types)

    def fields(self) -> Sequence[Field]:
        """All filters; an empty field filters nothing."""
        query = self._query
        order = ORDERS[(2 if query.sort == "score" else 0) + query.ascending]
        score = "" if query.minimum_score is None else f"{query.minimum_score:g}"
        state = {None: "", True: ACKNOWLEDGED_STATE, False: WAITING_STATE}[query.acknowledged]
        return (
            Field("camera", "Camera", query.camera or "", choices=self._cameras),
            Field("product", "Product", query.product or "", "of an inspection", choices=self._products),
            Field("type", "Type", query.type or "", choices=self._types),
            Field("priority", "Priority", query.priority.value if query.priority else "", choices=_priority_values()),
            Field("score", "Minimum score", score, "0 to 1"),
            Field("state", "State", state, choices=(WAITING_STATE, ACKNOWLEDGED_STATE)),
            Field("since", "Since", datetime_text(query.since), "2h, 7d, today, 2026-01-31, 2026-01-31 12:00"),
            Field("until", "Until", datetime_text(query.until), "same formats as Since"),
            Field("text", "Text", query.text, "in type, description or note"),
            Field("order", "Sort order", order, choices=ORDERS),
        )

    def extra_buttons(self) -> Iterable[Widget]:
        yield Button("All events", id="all")

    def send(self) -> None:
        fields: dict[str, object] = {name: value for name in _TEXT_FIELDS if (value := self.value(name))}
        if (score := self.number("score")) is not None:
            fields["minimum_score"] = score
        if state := self.choice("state"):
            fields["acknowledged"] = state == ACKNOWLEDGED_STATE
        fields |= {
            name: text_formats.parse_time_of_past(text) for name in ("since", "until") if (text := self.value(name))
        }
        order = ORDERS.index(self.choice("order") or ORDERS[0])
        fields |= {"sort": "score" if order >= 2 else "time", "ascending": bool(order % 2)}
        self.dismiss(text_formats.build_request(EventQuery, fields))

    @on(Button.Pressed, "#all")
    def _all(self) -> None:
        self.dismiss(EventQuery())


def _priority_values() -> tuple[str, ...]:
    return tuple(priority.value for priority in Priority)


def datetime_text(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M") if moment else ""
