"""Stores the cameras that were added over the API."""

from __future__ import annotations

from sqlalchemy.orm import Session

from core.api_schema import CameraRequest
from core.inference.database.engine import Database
from core.inference.database.models import CameraRow
from core.inference.database.request_rows import load_requests, put_request


class CameraStore:
    """Cameras in the order of their addition. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[CameraRequest]:
        """All cameras. Logs and skips one that cannot be read any more; it stays in the database."""
        return load_requests(self._database, CameraRow, CameraRequest, "camera")

    def put(self, camera: CameraRequest) -> None:
        self._database.write(lambda session: put_request(session, CameraRow, camera.id, camera))

    def drop(self, camera: str) -> None:
        def work(session: Session) -> None:
            row = session.get(CameraRow, camera)
            if row is not None:
                session.delete(row)

        self._database.write(work)
