"""Queries for unfinished events. All return ids, oldest first, and raise DatabaseError."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, or_, select

from core.api_schema import AnalysisState
from core.inference.database.engine import Database
from core.inference.database.models import EventRow

MAX_EVENTS = 200  # per query


def pending_analyses(database: Database, since: datetime) -> list[str]:
    """Events started since then whose analysis is pending."""
    return _ids(database, EventRow.analysis_state == AnalysisState.PENDING.value, EventRow.started >= since)


def unfinished_flows(database: Database, since: datetime, before: datetime) -> list[str]:
    """Events decided in that time whose flow did not finish."""
    return _ids(database, EventRow.response_time.is_(None), EventRow.decided >= since, EventRow.decided < before)


def interrupted_events(database: Database, before: datetime) -> list[str]:
    """Events decided before then that are still open or recording."""
    goes_on = or_(EventRow.ended.is_(None), EventRow.clip_state == "recording")
    return _ids(database, goes_on, EventRow.decided < before)


def _ids(database: Database, *conditions: ColumnElement[bool]) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(EventRow.id).where(*conditions).order_by(EventRow.id).limit(MAX_EVENTS)))
