"""Stores each new inspection: in the database, or on disk until the database answers."""

from __future__ import annotations

import base64
import json
import logging
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError

from core.api_schema import Inspection
from core.errors import os_reason
from core.files import read_regular, write_atomic
from core.inference.database.errors import DatabaseError
from core.inference.inspection.inspections import InspectionStore, UnknownInspection

logger = logging.getLogger(__name__)

REFUSED = ".refused"  # the ending of files that can never be stored


class InspectionLog:
    """A line of production does not wait for a database that is down: its inspections wait in a folder."""

    def __init__(self, store: InspectionStore, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def add(self, inspection: Inspection, *, heat_map: bytes, kept: str, source: str) -> bool:
        """Store an inspection; False when neither the database nor the disk takes it."""
        try:
            self._store.add(inspection, heat_map=heat_map, kept=kept, source=source)
            return True
        except DatabaseError as error:
            logger.warning("inspection %s waits for the database: %s", inspection.id, error.why)
        content = {
            "inspection": inspection.model_dump(mode="json"),
            "heat_map": base64.b64encode(heat_map).decode(),
            "kept": kept,
            "source": source,
        }
        try:
            write_atomic(self._folder / f"{inspection.id}.json", json.dumps(content))
            return True
        except OSError as error:
            logger.error("inspection %s is lost: %s: %s", inspection.id, self._folder, os_reason(error))
            return False

    def catch_up(self) -> int:
        """Store what waits; returns how many. Raises DatabaseError."""
        stored = 0
        for path in sorted(self._folder.glob("*.json")):
            try:
                self._store_waiting(json.loads(read_regular(path)))
                path.unlink(missing_ok=True)
                stored += 1
            except DatabaseError:
                raise
            except OSError as error:
                logger.error("%s cannot be stored now: %s", path, os_reason(error))
            except Exception as error:  # the next ones must not wait for it
                _set_aside(path, error)
        return stored

    def _store_waiting(self, content: dict[str, Any]) -> None:
        """Store one that waited. Raises DatabaseError, and anything else when it is no inspection or is refused."""
        inspection = Inspection.model_validate(content["inspection"])
        heat_map = base64.b64decode(content["heat_map"])
        try:
            self._store.add(inspection, heat_map=heat_map, kept=content["kept"], source=content["source"])
        except IntegrityError as error:
            try:
                self._store.get(inspection.id)  # a crash after it was stored
            except UnknownInspection:
                raise error from None


def _set_aside(path: Path, error: Exception) -> None:
    """Rename a file that can never be stored, so that it is not tried again."""
    refused = path.with_suffix(REFUSED)
    reason = f"{type(error).__name__}: {error}".partition("\n")[0]
    try:
        path.rename(refused)
        logger.error("inspection %s is not stored, but set aside as %s: %s", path.stem, refused, reason)
    except OSError as failure:
        logger.error("inspection %s is not stored (%s), nor set aside: %s", path.stem, reason, os_reason(failure))
