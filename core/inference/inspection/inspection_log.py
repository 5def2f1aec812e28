"""Stores each new inspection: in the database, or on disk until the database answers."""

from __future__ import annotations

import base64
import json
import logging
import threading
from contextlib import suppress
from pathlib import Path

from pydantic import Base64Bytes, BaseModel
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from core.api_schema import Inspection
from core.errors import os_reason
from core.files import read_regular, write_atomic
from core.inference.database.errors import PUBLIC_REASONS, DatabaseError, is_server_error
from core.inference.events.media_store import check_room
from core.inference.inspection.inspections import InspectionStore, UnknownInspection

logger = logging.getLogger(__name__)

REFUSED = ".refused"  # the ending of files that can never be stored


class _Waiting(BaseModel):
    """The content of a file that waits."""

    inspection: Inspection
    heat_map: Base64Bytes
    kept: str
    source: str


class InspectionLog:
    """A line of production does not wait for a database that is down: its inspections wait in a folder.

    Once the database has failed, it is not asked again before `catch_up` has stored what waits: a server that hangs
    takes seconds for each question. Thread-safe.
    """

    def __init__(self, store: InspectionStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._is_down = threading.Event()
        self.refused = len(list(folder.glob(f"*{REFUSED}")))
        """How many were set aside, in this run and before."""

    def add(self, inspection: Inspection, *, heat_map: bytes, kept: str, source: str) -> bool:
        """Store an inspection; False when neither the database nor the disk takes it."""
        if not self._is_down.is_set():
            try:
                self._store.add(inspection, heat_map=heat_map, kept=kept, source=source)
                return True
            except DatabaseError as error:
                self._note_down(error)
            except (IntegrityError, DataError) as error:  # `catch_up` decides what becomes of it
                logger.warning("inspection %s is not stored yet: %s", inspection.id, _first_line(error))
        content = {
            "inspection": inspection.model_dump(mode="json"),
            "heat_map": base64.b64encode(heat_map).decode(),
            "kept": kept,
            "source": source,
        }
        try:
            check_room(self._folder)
            write_atomic(self._folder / f"{inspection.id}.json", json.dumps(content))
            return True
        except OSError as error:
            logger.error("inspection %s is lost: %s: %s", inspection.id, self._folder, os_reason(error))
            return False

    def of_source(self, source: str) -> Inspection | None:
        """The stored inspection of a picture from there; None also while the database is down."""
        if self._is_down.is_set():
            return None
        try:
            return self._store.of_source(source)
        except DatabaseError as error:
            self._note_down(error)
            return None

    def catch_up(self) -> int:
        """Store what waits; returns how many. Raises DatabaseError while the database is down."""
        stored = 0
        for path in sorted(self._folder.glob("*.json")):
            try:
                self._store_waiting(_Waiting.model_validate_json(read_regular(path)))
                path.unlink(missing_ok=True)
                stored += 1
            except DatabaseError as error:
                if not self._is_refusal(error):
                    raise
                self._set_aside(path, error)
            except OSError as error:
                logger.error("%s cannot be stored now: %s", path, os_reason(error))
            except Exception as error:  # the next ones must not wait for it
                self._set_aside(path, error)
        if stored:
            logger.info("%d inspections that waited for the database are stored", stored)
        self._is_down.clear()
        return stored

    def _store_waiting(self, waiting: _Waiting) -> None:
        """Store one that waited. Raises DatabaseError, and IntegrityError or DataError when it is refused."""
        inspection = waiting.inspection
        try:
            self._store.add(inspection, heat_map=waiting.heat_map, kept=waiting.kept, source=waiting.source)
        except IntegrityError as error:
            try:
                self._store.get(inspection.id)  # a crash after it was stored
            except UnknownInspection:
                raise error from None

    def _note_down(self, error: DatabaseError) -> None:
        if not self._is_down.is_set():
            logger.warning("inspections wait on disk for the database: %s", error.why)
        self._is_down.set()

    def _is_refusal(self, error: DatabaseError) -> bool:
        """Whether the database works and only this inspection is refused. Raises DatabaseError when it is down."""
        cause = error.__cause__
        if error.why in PUBLIC_REASONS or not isinstance(cause, DBAPIError) or is_server_error(cause):
            return False
        with suppress(UnknownInspection):
            self._store.get("")
        return True

    def _set_aside(self, path: Path, error: Exception) -> None:
        """Rename a file that can never be stored, so that it is not tried again."""
        refused, reason = path.with_suffix(REFUSED), _first_line(error)
        try:
            path.rename(refused)
            self.refused += 1
            logger.error("inspection %s is not stored, but set aside as %s: %s", path.stem, refused, reason)
        except OSError as failure:
            logger.error("inspection %s is not stored (%s), nor set aside: %s", path.stem, reason, os_reason(failure))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]
