"""Writes a batch of spool records to the database, in one transaction with the position in the spool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.api_schema import Event
from core.inference.database.models import Base, EventRow, SpoolRow
from core.inference.events.row_conversion import event_columns, event_from_row, field_columns
from core.inference.events.spool_records import Record, changed_fields


def spool_position(session: Session, spool: str) -> int | None:
    """How much of a spool this database has; None for an unknown spool."""
    row = session.get(SpoolRow, spool)
    return row.position if row else None


def apply_batch(session: Session, spool: str, records: Sequence[Record], position: int) -> list[Event]:
    """Write the records in order; returns the new and changed events as they are now.

    Skips events that exist already, and changes to events that do not (retention removed them): applying a batch twice
    has the same result as once.
    """
    new: dict[str, dict[str, Any]] = {}
    changes: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.new:
            new.setdefault(record.event, event_columns(Event.model_validate(record.fields)))
        else:
            changes.setdefault(record.event, {}).update(field_columns(changed_fields(record)))
    for event, change in changes.items():
        if event in new:
            new[event].update(change)
    added = _insert_events(session, list(new.values()))
    for event, change in changes.items():
        if change and event not in added:
            session.execute(update(EventRow).where(EventRow.id == event).values(**change))
    _store_position(session, spool, position)
    return _stored_events(session, new.keys() | changes.keys())


def _insert_events(session: Session, rows: list[dict[str, Any]]) -> set[str]:
    if not rows:
        return set()
    statement = _dialect_insert(session)(EventRow).on_conflict_do_nothing(index_elements=["id"])
    return set(session.execute(statement.returning(EventRow.id), rows).scalars())


def _store_position(session: Session, spool: str, position: int) -> None:
    """An upsert, because a killed service's last commit may still be running on the server."""
    statement = _dialect_insert(session)(SpoolRow).values(id=spool, position=position)
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"position": position}))


def _dialect_insert(session: Session) -> Callable[[type[Base]], sqlite.Insert | postgresql.Insert]:
    return sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert


def _stored_events(session: Session, ids: Iterable[str]) -> list[Event]:
    rows = session.scalars(select(EventRow).where(EventRow.id.in_(ids)).order_by(EventRow.id))
    return [event_from_row(row) for row in rows]
