"""The cameras that the service was told of over its API, kept over a restart."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.inference.database.engine import Database
from core.inference.database.models import CameraRow
from core.inference.given import BrokenCameras, read_cameras
from core.inference.schemas import CameraRequest

logger = logging.getLogger(__name__)


class CameraStore:
    """Cameras in the order in which they came. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[CameraRequest]:
        """All of them. One that is no longer understood is told of and stays in the database."""
        with self._database.read() as session:
            rows = session.scalars(select(CameraRow).order_by(CameraRow.position)).all()
        cameras = []
        for row in rows:
            try:
                cameras.append(CameraRequest.model_validate(row.request))
            except ValidationError as error:
                fields = ", ".join(".".join(map(str, one["loc"])) for one in error.errors(include_input=False))
                logger.error("camera %s is left out: its settings are not understood: %s", row.id, fields)
        return cameras

    def put(self, camera: CameraRequest) -> None:
        """Keep a camera, in the place of one with its id or as the last."""
        self._database.write(lambda session: _put(session, [camera]))

    def drop(self, camera: str) -> None:
        """Keep it no longer; nothing happens when it was not kept."""

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
            found = read_cameras(file)
        except BrokenCameras as error:
            aside = file.with_name(f"cameras.broken-{time.time_ns()}.json")
            logger.error("%s; it is kept as %s", error, aside.name)
            found = []
        else:
            aside = file.with_name("cameras.taken-over.json")
        self._database.write(lambda session: _put(session, found))
        file.rename(aside)


def _put(session: Session, cameras: list[CameraRequest]) -> None:
    last = session.scalar(select(func.max(CameraRow.position))) or 0
    for position, camera in enumerate(cameras, last + 1):
        request = camera.model_dump(mode="json")
        row = session.get(CameraRow, camera.id)
        if row is None:
            session.add(CameraRow(id=camera.id, position=position, request=request))
        else:
            row.request = request
