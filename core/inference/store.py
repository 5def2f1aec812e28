"""The cameras that a service was told of: on the command line, in its environment, in a file, and over its API."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import InputError, XaivaError
from core.files import write_atomic
from core.inference.schemas import CameraRequest

logger = logging.getLogger(__name__)

PRIVATE = 0o600  # sources may hold passwords


class BrokenCameras(InputError):
    """The file can be read, but not understood."""


class CameraList(BaseModel):
    """The content of `cameras.json` and of a `--config` file."""

    model_config = ConfigDict(extra="forbid")

    cameras: list[CameraRequest] = []


class CameraStore:
    """`cameras.json` in the data folder: what was added over the API and survives a restart."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "cameras.json"
        self._lock = threading.Lock()

    def load(self) -> list[CameraRequest]:
        """The kept cameras. A broken file is set aside and told of, so that the other cameras are watched all the same.

        Raises InputError when the file cannot be read at all.
        """
        if not self._path.exists():
            return []
        try:
            return read_cameras(self._path)
        except BrokenCameras as error:
            aside = self._path.with_name(f"cameras.broken-{time.time_ns()}.json")
            self._path.rename(aside)
            logger.error("%s; it is kept as %s", error, aside.name)
            return []

    def put(self, camera: CameraRequest) -> None:
        """Keep a camera, in place of one with its id. Raises XaivaError when it cannot be written."""
        with self._lock:
            self._write([*(kept for kept in self.load() if kept.id != camera.id), camera])

    def drop(self, camera: str) -> None:
        """Keep it no longer; nothing happens when it was not kept. Raises XaivaError as `put`."""
        with self._lock:
            kept = self.load()
            left = [one for one in kept if one.id != camera]
            if len(left) < len(kept):
                self._write(left)

    def _write(self, cameras: list[CameraRequest]) -> None:
        text = CameraList(cameras=cameras).model_dump_json(indent=2)
        try:
            write_atomic(self._path, text + "\n", mode=PRIVATE)
        except OSError as error:
            why = error.strerror or type(error).__name__
            remedy = "free space, or give a writable data folder with --data DIR"
            raise XaivaError(f"{self._path}", f"it cannot be written: {why}", remedy) from error


def read_cameras(path: Path) -> list[CameraRequest]:
    """Read a `--config` file. Raises InputError naming file and field, never the value, which may hold a password."""
    try:
        return CameraList.model_validate(json.loads(path.read_text())).cameras
    except OSError as error:
        raise InputError(f"{path}", error.strerror or "cannot be read", "give another one with --config") from error
    except ValueError as error:
        raise BrokenCameras(f"{path}", _why(error), "docs/cameras.md shows the form") from None


def parse_cameras(entries: Iterable[str], where: str) -> list[CameraRequest]:
    """Read `id=source` entries. Raises InputError naming `where` they stand."""
    cameras = []
    for entry in entries:
        name, separator, source = entry.partition("=")
        shown = name.partition(":")[0]  # with the id forgotten, `name` is the beginning of a URL and its password
        if not separator:
            raise InputError(f"{where}: {shown}", "not of the form id=source", "say gate=rtsp://…")
        try:
            cameras.append(CameraRequest(id=name, source=source))
        except ValidationError as error:
            raise InputError(f"{where}: {shown}", _why(error), "an id is letters, digits, . _ and -") from None
    return cameras


def merged(*sources: Iterable[CameraRequest]) -> list[CameraRequest]:
    """All cameras by id; a later source wins."""
    cameras: dict[str, CameraRequest] = {}
    for source in sources:
        cameras.update((camera.id, camera) for camera in source)
    return list(cameras.values())


def from_environment(env: Mapping[str, str]) -> list[CameraRequest]:
    """The cameras of XAIVA_CAMERAS: `id=source` entries with white space between them."""
    return parse_cameras(env.get("XAIVA_CAMERAS", "").split(), "XAIVA_CAMERAS")


def _why(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}: not valid JSON: {error.msg}"
    return "not UTF-8 text"
