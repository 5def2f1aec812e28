"""Stores requests for cameras and rules, one row each, in order."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import ColumnElement, func, inspect, select
from sqlalchemy.orm import Session

from core.inference.database.engine import Database
from core.inference.database.models import RequestRow
from core.validation_errors import every_problem

logger = logging.getLogger(__name__)
StoredRequest = TypeVar("StoredRequest", bound=BaseModel)


def load_requests(
    database: Database, table: type[RequestRow], kind: type[StoredRequest], what: str
) -> list[StoredRequest]:
    """All requests of a table. Logs and skips an unreadable one, as `what`. Raises DatabaseError."""
    with database.read() as session:
        rows = session.execute(select(_key(table), table.request).order_by(table.position)).all()
    requests = []
    for key, request in rows:
        try:
            requests.append(kind.model_validate(request))
        except ValidationError as error:
            why = "; ".join(every_problem(error))
            logger.error("%s %s is skipped: its settings cannot be read: %s", what, key, why)
    return requests


def put_request(session: Session, table: type[RequestRow], key: str, request: BaseModel) -> None:
    content = request.model_dump(mode="json")
    row = session.get(table, key)
    if row is not None:
        row.request = content
        return
    last = session.scalar(select(func.max(table.position))) or 0
    session.add(table(**{_key(table).key or "": key}, position=last + 1, request=content))


def _key(table: type[RequestRow]) -> ColumnElement[Any]:
    (column,) = inspect(table).primary_key
    return column
