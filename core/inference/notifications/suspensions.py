"""Cameras whose notifications are suspended for a while."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.inference.database.engine import Database
from core.inference.database.models import SuspensionRow


class Suspensions:
    """Suspensions in the database, with a copy in memory for frequent queries. Raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        with database.read() as session:
            self._until = {row.camera: row.until for row in session.scalars(select(SuspensionRow))}

    def set(self, camera: str, minutes: float) -> None:
        """Suspend a camera from now on; 0 minutes ends it."""
        until = datetime.now(timezone.utc) + timedelta(minutes=minutes)

        def work(session: Session) -> None:
            session.execute(delete(SuspensionRow).where(SuspensionRow.camera == camera))
            if minutes:
                session.add(SuspensionRow(camera=camera, until=until))

        with self._lock:
            self._database.write(work)
            if minutes:
                self._until[camera] = until
            else:
                self._until.pop(camera, None)

    def until(self, camera: str) -> datetime | None:
        """The end of the suspension; None when the camera is not suspended."""
        until = self._until.get(camera)
        return until if until and until > datetime.now(timezone.utc) else None
