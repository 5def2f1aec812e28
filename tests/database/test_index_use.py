"""Queries of tables that may have millions of rows, and whether the database can answer them from an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from core.api_schema import EventQuery
from core.inference.database.engine import Database
from core.inference.events.logger import EventLogger
from core.inference.events.store import EventStore
from core.inference.inspection.inspections import InspectionStore

QUERIES: dict[str, Callable[[Database, Path], object]] = {
    "ix_inspections_leftover_key": lambda database, _: InspectionStore(database).leftovers(),
    "ix_inspections_corrected": lambda database, _: InspectionStore(database).corrected_with_picture(),
    "ix_events_product_started_id": lambda database, folder: EventStore(database, EventLogger(database, folder)).page(
        cameras=None, query=EventQuery(product="screw")
    ),
}


@contextmanager
def _recorded() -> Iterator[list[tuple[str, Any]]]:
    """The statements that are executed meanwhile, with their parameters."""
    statements: list[tuple[str, Any]] = []

    def record(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", record)


@pytest.mark.parametrize("index", QUERIES)
def test_the_index_answers(database: Database, tmp_path: Path, index: str) -> None:
    with _recorded() as statements:
        QUERIES[index](database, tmp_path)
    ((statement, parameters),) = [one for one in statements if one[0].startswith("SELECT")]
    with database.read() as session:
        is_postgres = session.get_bind().dialect.name == "postgresql"
        if is_postgres:
            session.execute(text("SET LOCAL enable_seqscan = off"))  # which it prefers for an empty table
        explain = "EXPLAIN" if is_postgres else "EXPLAIN QUERY PLAN"
        rows = session.connection().exec_driver_sql(f"{explain} {statement}", parameters).all()
    plan = "\n".join(str(row[-1]) for row in rows)
    assert index in plan
    assert ("Index Cond" if is_postgres else "SEARCH") in plan
