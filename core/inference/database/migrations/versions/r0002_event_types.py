"""An event's type says what was seen, no longer which detector saw it: events, rules and kept statistics."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TYPES = {"memory": "anomaly", "onnx": "anomaly", "persons": "person"}


def upgrade() -> None:
    """Rename the types; counts of two that become one are added up."""
    connection = op.get_bind()
    events = sa.table("events", sa.column("type", sa.String))
    for old, new in TYPES.items():
        connection.execute(events.update().where(events.c.type == old).values(type=new))
    rules = sa.table("notification_rules", sa.column("name", sa.String), sa.column("request", sa.JSON))
    for name, request in connection.execute(sa.select(rules)).all():
        types = list(dict.fromkeys(TYPES.get(word, word) for word in request.get("types", ())))
        if types != list(request.get("types", ())):
            values = {"request": {**request, "types": types}}
            connection.execute(rules.update().where(rules.c.name == name).values(values))
    keys: list[sa.ColumnClause[Any]] = [
        sa.column("date", sa.Date),
        sa.column("zone", sa.String),
        sa.column("camera", sa.String),
    ]
    days = sa.table("daily_statistics", *keys, sa.column("by_type", sa.JSON))
    for date, zone, camera, counts in connection.execute(sa.select(days)).all():
        if TYPES.keys() & counts.keys():
            totals: dict[str, int] = {}
            for word, count in counts.items():
                totals[TYPES.get(word, word)] = totals.get(TYPES.get(word, word), 0) + count
            day = (days.c.date == date, days.c.zone == zone, days.c.camera == camera)
            connection.execute(days.update().where(*day).values(by_type=totals))
