"""Queries events by page or id; acknowledges and protects them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from pydantic import FiniteFloat, TypeAdapter
from sqlalchemy import ColumnElement, Select, case, func, or_, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.api_schema import Event, EventPage, EventQuery, Timestamp
from core.errors import InputError
from core.inference.database.engine import Database
from core.inference.database.models import EventRow
from core.inference.events.ids import is_event_id
from core.inference.events.logger import EventLogger
from core.inference.events.row_conversion import event_from_row

FLUSH_SECONDS = 2.0
_SEARCHED_COLUMNS = (
    EventRow.type,
    EventRow.camera,
    EventRow.camera_name,
    EventRow.product,
    EventRow.analysis_description,
    EventRow.note,
)
_MOMENT, _SCORE = TypeAdapter[datetime](Timestamp), TypeAdapter[float](FiniteFloat)


class EventStore:
    """`cameras` are always those the caller may see, None for all. Every method raises DatabaseError."""

    def __init__(self, database: Database, logger: EventLogger) -> None:
        self._database = database
        self._logger = logger

    def page(self, *, cameras: list[str] | None, query: EventQuery) -> EventPage:
        """A page of matching events. Raises InputError for a cursor of another sort order."""
        order = _Order(query)
        statement = order.apply_to(select(EventRow).where(*_conditions(cameras, query)), query.cursor)
        with self._database.read() as session:
            rows = list(session.scalars(statement.limit(query.limit + 1)))
        events = [event_from_row(row) for row in rows[: query.limit]]
        return EventPage(events=events, next=order.cursor(events[-1]) if len(rows) > query.limit else "")

    def get(self, event: str) -> Event | None:
        """One event, even if only the spool has it."""
        return self._logger.get(event) if is_event_id(event) else None

    def acknowledge(self, ids: list[str], by: str, note: str, cameras: list[str] | None) -> int:
        """Acknowledge events; returns how many were not acknowledged before. A note is added to the old one."""
        valid_ids = [event for event in ids if is_event_id(event)]
        values: dict[str, Any] = {"acknowledged": datetime.now(timezone.utc), "acknowledged_by": by}
        if note:
            values["note"] = case((EventRow.note == "", note), else_=EventRow.note + f"\n{note}")
        unseen = (EventRow.id.in_(valid_ids), EventRow.acknowledged.is_(None))
        return len(self._change(values, *unseen, *_visible(cameras)))

    def protect(self, event: str, protected: bool) -> bool:
        """Protect an event with its clip and snapshot from retention; False when it does not exist."""
        return is_event_id(event) and bool(self._change({"protected": protected}, EventRow.id == event))

    def unacknowledged(self, cameras: list[str] | None) -> int:
        waiting = select(func.count()).select_from(EventRow).where(EventRow.acknowledged.is_(None), *_visible(cameras))
        with self._database.read() as session:
            return session.scalar(waiting) or 0

    def _change(self, values: dict[str, Any], *conditions: ColumnElement[bool]) -> list[Event]:
        def work(session: Session) -> list[Event]:
            changed = update(EventRow).where(*conditions).values(**values).returning(EventRow)
            return [event_from_row(row) for row in session.scalars(changed)]

        self._logger.flush(FLUSH_SECONDS)  # the event may still be in the spool
        events = self._logger.write(work)
        self._database.make_durable()  # the change must survive a power cut
        return events


class _Order:
    """A total order of events, with cursors that name a position in it."""

    def __init__(self, query: EventQuery) -> None:
        self._name = f"{query.sort}{'+' if query.ascending else '-'}"
        self._timed = query.sort == "time"
        self._ascending = query.ascending
        by: InstrumentedAttribute[Any] = EventRow.started if self._timed else EventRow.score
        self._columns = (by, EventRow.id)

    def apply_to(self, statement: Select[EventRow], cursor: str) -> Select[EventRow]:
        """The statement in this order, starting after the cursor."""
        if cursor:
            key, place = tuple_(*self._columns), tuple_(*self._parse_cursor(cursor))
            statement = statement.where(key > place if self._ascending else key < place)
        return statement.order_by(*(column.asc() if self._ascending else column.desc() for column in self._columns))

    def cursor(self, event: Event) -> str:
        value = event.started.isoformat() if self._timed else event.score
        return base64.urlsafe_b64encode(json.dumps([self._name, value, event.id]).encode()).decode()

    def _parse_cursor(self, cursor: str) -> tuple[datetime | float, str]:
        try:
            name, value, event = json.loads(base64.urlsafe_b64decode(cursor.encode()))
            if name != self._name or not isinstance(event, str):
                raise ValueError
            return _MOMENT.validate_python(value) if self._timed else _SCORE.validate_python(value), event
        except (ValueError, TypeError):
            raise InputError("Cursor", "it belongs to another sort order", "start again without a cursor") from None


def _conditions(cameras: list[str] | None, query: EventQuery) -> Iterator[ColumnElement[bool]]:
    """The conditions of a query; `priority` means that one or above."""
    yield from _visible(cameras)
    if query.camera is not None:
        yield EventRow.camera == query.camera
    if query.type is not None:
        yield EventRow.type == query.type
    if query.product is not None:
        yield EventRow.product == query.product
    if query.priority is not None:
        yield EventRow.priority >= query.priority.rank
    if query.since is not None:
        yield EventRow.started >= query.since
    if query.until is not None:
        yield EventRow.started < query.until
    if query.minimum_score is not None:
        yield EventRow.score >= query.minimum_score
    if query.acknowledged is not None:
        yield EventRow.acknowledged.is_not(None) if query.acknowledged else EventRow.acknowledged.is_(None)
    if query.text:
        yield or_(*(column.icontains(query.text, autoescape=True) for column in _SEARCHED_COLUMNS))


def _visible(cameras: list[str] | None) -> list[ColumnElement[bool]]:
    return [] if cameras is None else [EventRow.camera.in_(cameras)]
