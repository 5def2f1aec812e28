"""Events to log, and loggers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path

from sqlalchemy import select

from core.api_schema import ActionResult, Analysis, AnalysisState, Clip, Event, Fact, Priority
from core.inference.database.engine import Database
from core.inference.database.models import EventRow
from core.inference.events.ids import new_id
from core.inference.events.logger import EventLogger

DAY = 86400.0  # seconds


def an_event(event: str = "", camera: str = "gate", **fields: object) -> Event:
    """An event of now."""
    now = datetime.now(timezone.utc)
    values: dict[str, object] = {"type": "motion", "started": now, "decided": now, "score": 0.75, "threshold": 0.5}
    return Event.model_validate({"id": event or new_id(), "camera": camera, **values, **fields})


def urgent(**fields: object) -> Event:
    """One that is written at once."""
    return an_event(priority=Priority.HIGH, **fields)


def id_of(age_days: float) -> str:
    """An id as it was made so long ago."""
    milliseconds = int((time.time() - age_days * DAY) * 1000)
    return str(uuid.UUID(int=milliseconds << 80 | uuid.UUID(new_id()).int & (1 << 80) - 1))


def full_event() -> Event:
    now = an_event().started
    return an_event(
        camera_name="Gate ‘7’ 門",
        priority=Priority.CRITICAL,
        ended=now,
        zone="left",
        detector="memory",
        snapshot=True,
        clip=Clip(state="done", seconds=7.5, bytes=3_000_000_000),
        analysis=Analysis(state=AnalysisState.DONE, description="a bag\nleft", confidence=0.5, backend="x", seconds=1),
        facts=[Fact(label="person", score=0.9, box=(0, 0.25, 0.5, 1))],
        actions=[ActionResult(step="notify", state="done", seconds=0.5, at=now)],
        response_time=1.25,
        protected=True,
        acknowledged=now,
        acknowledged_by="ada",
        note="seen",
    )


def kept(database: Database) -> dict[str, EventRow]:
    with database.read() as session:
        return {row.id: row for row in session.scalars(select(EventRow))}


def sqlite(folder: Path) -> closing[Database]:
    return closing(Database(f"sqlite:///{folder / 'xaiva.db'}"))


@contextmanager
def logging_to(database: Database, spool: Path, *, json_log: Path | None = None) -> Iterator[EventLogger]:
    """A logger that runs."""
    logger = EventLogger(database, spool, json_log=json_log)
    logger.start()
    try:
        yield logger
    finally:
        logger.stop()
