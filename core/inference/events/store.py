"""The events as people ask for them: pages, one, acknowledged, protected."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.errors import InputError
from core.inference.database.engine import Database
from core.inference.database.models import EventRow
from core.inference.events.logger import EventLogger
from core.inference.events.rows import event_of
from core.inference.schemas import Event, EventPage, Priority

_SEARCHED = (EventRow.type, EventRow.camera, EventRow.camera_name, EventRow.analysis_description, EventRow.note)


class EventStore:
    """`cameras` is always what the asker may see, None for all. Every method raises DatabaseError."""

    def __init__(self, database: Database, logger: EventLogger) -> None:
        self._database = database
        self._logger = logger

    def page(
        self,
        *,
        cameras: list[str] | None,
        camera: str | None = None,
        type: str | None = None,
        priority: Priority | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        minimum_score: float | None = None,
        acknowledged: bool | None = None,
        text: str = "",
        sort: Literal["time", "score"] = "time",
        ascending: bool = False,
        cursor: str = "",
        limit: int = 100,
    ) -> EventPage:
        """Events that fit all that is named: of `priority` or above, `started` from `since` up to before `until`.

        `text` is looked for in type, camera, description and note. Raises InputError for a cursor of another order.
        """
        tests = [
            _among(cameras),
            EventRow.camera == camera if camera is not None else None,
            EventRow.type == type if type is not None else None,
            EventRow.priority >= priority.rank if priority is not None else None,
            EventRow.started >= since if since is not None else None,
            EventRow.started < until if until is not None else None,
            EventRow.score >= minimum_score if minimum_score is not None else None,
            _acknowledged(acknowledged),
            or_(*(column.icontains(text, autoescape=True) for column in _SEARCHED)) if text else None,
        ]
        wanted = select(EventRow).where(*(test for test in tests if test is not None))
        order = _Order(sort, ascending)
        with self._database.read() as session:
            rows = list(session.scalars(order.applied(wanted, cursor).limit(limit + 1)))
        more = len(rows) > limit
        return EventPage(
            events=[event_of(row) for row in rows[:limit]], next=order.cursor(rows[limit - 1]) if more else ""
        )

    def get(self, event: str) -> Event | None:
        """One event, also while only the spool has it."""
        return self._logger.get(event)

    def acknowledge(self, ids: list[str], by: str, note: str, cameras: list[str] | None) -> int:
        """Acknowledge what has not been yet; returns how many that were. An empty note leaves the one that is there."""
        values: dict[str, Any] = {"acknowledged": datetime.now(timezone.utc), "acknowledged_by": by}
        if note:
            values["note"] = note
        return len(self._change(values, EventRow.id.in_(ids), EventRow.acknowledged.is_(None), _among(cameras)))

    def protect(self, event: str, protected: bool) -> bool:
        """Keep an event, its clip and snapshot when others go; False when there is no such event."""
        return bool(self._change({"protected": protected}, EventRow.id == event))

    def unacknowledged(self, cameras: list[str] | None) -> int:
        """How many wait for somebody."""
        tests = [test for test in (EventRow.acknowledged.is_(None), _among(cameras)) if test is not None]
        with self._database.read() as session:
            return session.scalar(select(func.count()).select_from(EventRow).where(*tests)) or 0

    def _change(self, values: dict[str, Any], *tests: ColumnElement[bool] | None) -> list[Event]:
        where = [test for test in tests if test is not None]

        def work(session: Session) -> list[Event]:
            changed = update(EventRow).where(*where).values(**values).returning(EventRow)
            return [event_of(row) for row in session.scalars(changed)]

        events = self._database.write(work)
        self._logger.publish(events)
        return events


class _Order:
    """An order of events in which no two are equal, and the place of one in it as a cursor."""

    def __init__(self, sort: Literal["time", "score"], ascending: bool) -> None:
        self._name = f"{sort}{'+' if ascending else '-'}"
        self._by: InstrumentedAttribute[Any] = EventRow.started if sort == "time" else EventRow.score
        self._timed = sort == "time"
        self._ascending = ascending

    def applied(self, query: Select[tuple[EventRow]], cursor: str) -> Select[tuple[EventRow]]:
        """The query in this order, from behind the cursor on."""
        key = tuple_(self._by, EventRow.id)
        if cursor:
            place = tuple_(*self._place(cursor))
            query = query.where(key > place if self._ascending else key < place)
        columns = (self._by, EventRow.id)
        return query.order_by(*(column.asc() if self._ascending else column.desc() for column in columns))

    def cursor(self, row: EventRow) -> str:
        """The place of a row."""
        value = row.started.isoformat() if self._timed else row.score
        return base64.urlsafe_b64encode(json.dumps([self._name, value, row.id]).encode()).decode()

    def _place(self, cursor: str) -> tuple[datetime | float, str]:
        try:
            name, value, event = json.loads(base64.urlsafe_b64decode(cursor.encode()))
            if name != self._name or not isinstance(event, str):
                raise ValueError
            return datetime.fromisoformat(value) if self._timed else float(value), event
        except (ValueError, TypeError):
            raise InputError("Cursor", "it is not of this order of events", "start again without one") from None


def _among(cameras: list[str] | None) -> ColumnElement[bool] | None:
    return None if cameras is None else EventRow.camera.in_(cameras)


def _acknowledged(wanted: bool | None) -> ColumnElement[bool] | None:
    if wanted is None:
        return None
    return EventRow.acknowledged.is_not(None) if wanted else EventRow.acknowledged.is_(None)
