"""Stores the cameras that were added over the API."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from sqlalchemy.orm import Session

from core.api_schema import CameraRequest
from core.inference.database.engine import Database
from core.inference.database.models import CameraRow
from core.inference.database.request_rows import load_requests, put_request
from core.inference.startup_cameras import InvalidCameraFile, read_camera_file

logger = logging.getLogger(__name__)


class CameraStore:
    """Cameras in the order of their addition. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[CameraRequest]:
        """All cameras. Logs and skips one that cannot be read any more; it stays in the database."""
        return load_requests(self._database, CameraRow, CameraRequest, "camera")

    def put(self, camera: CameraRequest) -> None:
        """Store a camera; replaces one with its id."""
        self._database.write(lambda session: put_request(session, CameraRow, camera.id, camera))

    def drop(self, camera: str) -> None:
        """Remove a camera, if it is stored."""

        def work(session: Session) -> None:
            row = session.get(CameraRow, camera)
            if row is not None:
                session.delete(row)

        self._database.write(work)

    def take_over(self, file: Path) -> None:
        """Keep what an older version kept in `cameras.json`, and set that file aside. Nothing happens without it.

        A broken file is told of and set aside too, so that the other cameras are watched all the same.
        Raises InputError when it cannot be read at all.
        """
        if not file.exists():
            return
        try:
            cameras = read_camera_file(file)
        except InvalidCameraFile as error:
            aside = file.with_name(f"cameras.broken-{time.time_ns()}.json")
            logger.error("%s; it is kept as %s", error, aside.name)
            cameras = []
        else:
            aside = file.with_name("cameras.taken-over.json")

        def work(session: Session) -> None:
            for camera in cameras:
                put_request(session, CameraRow, camera.id, camera)

        self._database.write(work)
        file.rename(aside)
