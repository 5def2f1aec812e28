"""Stores the measured memory of models in the service's database."""

from __future__ import annotations

from datetime import datetime, timezone

from sqlalchemy.orm import Session

from core.inference.database.engine import Database
from core.inference.database.models import ModelCostRow


class DatabaseCosts:
    """A `CostStore` in the database table of model costs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str, device: str) -> int | None:
        """The memory in bytes, None when never measured. Raises DatabaseError."""
        with self._database.read() as session:
            row = session.get(ModelCostRow, (key, device))
            return row.cost if row else None

    def put(self, key: str, device: str, cost: int) -> None:
        """Store the newest measurement. Raises DatabaseError."""

        def work(session: Session) -> None:
            session.merge(ModelCostRow(key=key, device=device, cost=cost, measured=datetime.now(timezone.utc)))

        self._database.write(work)
