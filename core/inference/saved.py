"""The cameras added while the service ran, kept in `cameras.json` over restarts. It may hold passwords: mode 0600."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import XaivaError
from core.files import write_atomic
from core.inference.schemas import CameraRequest

logger = logging.getLogger(__name__)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = 1
    cameras: list[CameraRequest] = []


class SavedCameras:
    """The file; only the service writes it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "cameras.json"

    def load(self) -> list[CameraRequest]:
        """The saved cameras. A file that cannot be understood is set aside, not lost, and none are returned."""
        try:
            return _File.model_validate_json(self.path.read_bytes()).cameras
        except FileNotFoundError:
            return []
        except (ValidationError, OSError) as error:
            aside = self.path.with_name(f"cameras.broken-{int(time.time())}.json")
            logger.error("%s cannot be read (%s); kept as %s", self.path, type(error).__name__, aside.name)
            try:
                self.path.rename(aside)
            except OSError:
                logger.error("%s cannot be set aside", self.path)
            return []

    def save(self, cameras: list[CameraRequest]) -> None:
        """Replace the file in one step. Raises XaivaError when the folder cannot be written."""
        try:
            write_atomic(self.path, _File(cameras=cameras).model_dump_json(indent=1) + "\n", mode=0o600)
        except OSError as error:
            raise XaivaError(
                f"{self.path} cannot be written",
                str(error.strerror or error),
                "free some space, or mount a writable folder at the service's data folder",
            ) from error
