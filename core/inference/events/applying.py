"""Writes a batch of the spool to the database, in one transaction with the position in the spool."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.inference.database.models import Base, EventRow, SpoolRow
from core.inference.events.records import Record, changed
from core.inference.events.rows import columns, event_columns, event_of
from core.inference.schemas import Event


def position_of(session: Session, spool: str) -> int | None:
    """How far a spool has come into this database; None when it is not known here."""
    row = session.get(SpoolRow, spool)
    return row.position if row else None


def apply(session: Session, spool: str, records: Sequence[Record], position: int) -> list[Event]:
    """Keep the records in their order; returns the events that are new or changed, as they are now.

    An event that is there already is not added again, and a change of one that is not there (retention took it) is
    passed over: applying a batch twice leaves the same as once.
    """
    new: dict[str, dict[str, Any]] = {}
    changes: dict[str, dict[str, Any]] = {}
    for record in records:
        if record.new:
            new.setdefault(record.event, event_columns(Event.model_validate(record.fields)))
        else:
            changes.setdefault(record.event, {}).update(columns(changed(record)))
    for event, change in changes.items():
        if event in new:
            new[event].update(change)
    added = _add(session, list(new.values()))
    for event, change in changes.items():
        if change and event not in added:
            session.execute(update(EventRow).where(EventRow.id == event).values(**change))
    _remember(session, spool, position)
    return _now(session, new.keys() | changes.keys())


def _add(session: Session, rows: list[dict[str, Any]]) -> set[str]:
    """Insert what is not there; returns the ids of those."""
    if not rows:
        return set()
    statement = _insert(session)(EventRow).on_conflict_do_nothing(index_elements=["id"])
    return set(session.execute(statement.returning(EventRow.id), rows).scalars())


def _remember(session: Session, spool: str, position: int) -> None:
    """In one statement: a killed service's last commit may still be under way on the server."""
    statement = _insert(session)(SpoolRow).values(id=spool, position=position)
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"position": position}))


def _insert(session: Session) -> Callable[[type[Base]], sqlite.Insert | postgresql.Insert]:
    return sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert


def _now(session: Session, ids: Iterable[str]) -> list[Event]:
    rows = session.scalars(select(EventRow).where(EventRow.id.in_(ids)).order_by(EventRow.id))
    return [event_of(row) for row in rows]
