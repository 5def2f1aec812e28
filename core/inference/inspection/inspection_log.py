"""Stores each new inspection: in the database, or on disk until the database answers."""

from __future__ import annotations

import base64
import json
import logging
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import IntegrityError

from core.api_schema import Inspection
from core.errors import os_reason
from core.files import read_regular, write_atomic
from core.inference.database.errors import DatabaseError
from core.inference.inspection.inspections import InspectionStore

logger = logging.getLogger(__name__)


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
                content = json.loads(read_regular(path))
                inspection = Inspection.model_validate(content["inspection"])
                heat_map = base64.b64decode(content["heat_map"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                logger.error("%s is no inspection and stays there: %s", path, error)
                continue
            with suppress(IntegrityError):  # a crash after it was stored
                self._store.add(inspection, heat_map=heat_map, kept=content["kept"], source=content["source"])
            path.unlink(missing_ok=True)
            stored += 1
        return stored
