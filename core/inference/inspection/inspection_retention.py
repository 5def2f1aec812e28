"""Bounds inspections by age, and their kept pictures by age and size."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta, timezone

from core.errors import XaivaError, os_reason
from core.inference.events.retention import GB
from core.inference.inspection.inspections import InspectionStore
from core.inference.inspection.picture_store import KeptFile, PictureStore
from core.inference.settings import ServiceSettings

logger = logging.getLogger(__name__)


class InspectionRetention:
    """Removes pictures that are too old, then the oldest while there are too many, those of corrections last.

    Inspections themselves are removed by age alone.
    """

    def __init__(self, pictures: PictureStore, inspections: InspectionStore, settings: ServiceSettings) -> None:
        self._pictures = pictures
        self._inspections = inspections
        self._settings = settings

    def run_once(self) -> int:
        """One run; returns the number of removed pictures. Raises DatabaseError, and XaivaError for the disk."""
        oldest = datetime.now(timezone.utc) - timedelta(days=self._settings.inspections_days)
        try:
            files = list(self._pictures.files())
            corrected = self._inspections.corrected_with_picture() if files else set()
            gone = list(self._surplus(files, corrected, oldest))
            self._inspections.pictures_removed([file.path.name for file in gone])  # first: a crash leaves only files
            for file in gone:
                file.path.unlink(missing_ok=True)
                with suppress(OSError):
                    file.path.parent.rmdir()  # only when it is empty
        except OSError as error:
            raise XaivaError(f"{self._pictures.folder}", os_reason(error), "make this folder writable") from error
        removed = self._inspections.remove_before(oldest)
        if gone or removed:
            logger.info("%d pictures and %d inspections were removed", len(gone), removed)
        return len(gone)

    def _surplus(self, files: list[KeptFile], corrected: set[str], oldest: datetime) -> Iterable[KeptFile]:
        excess = sum(file.bytes for file in files) - self._settings.inspections_gb * GB
        for file in sorted(files, key=lambda file: file.path.name in corrected):  # stable: each part oldest first
            if file.moment < oldest or excess > 0:
                excess -= file.bytes
                yield file
