"""The cameras that the service is started with: from the command line, the environment and a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.api_schema import CameraRequest
from core.errors import InputError, os_reason
from core.files import read_regular
from core.strict_json import RepeatedKey, unique_keys
from core.validation_errors import every_problem


class CameraFile(BaseModel):
    """The content of a `--config` file."""

    model_config = ConfigDict(extra="forbid")

    cameras: list[CameraRequest] = []


def read_camera_file(path: Path) -> list[CameraRequest]:
    """Read a `--config` file. Raises InputError naming file and field, without any password."""
    try:
        text = json.loads(read_regular(path), object_pairs_hook=unique_keys)
        return _check_unique(CameraFile.model_validate(text).cameras, f"{path}")
    except OSError as error:
        raise InputError(f"{path}", os_reason(error), "pass a readable file with --config") from error
    except ValueError as error:
        raise InputError(f"{path}", _explain(error), "see docs/cameras.md for the format") from None


def parse_camera_entries(entries: Iterable[str], origin: str) -> list[CameraRequest]:
    """Read `id=source` entries with unique ids. Raises InputError naming their `origin`."""
    cameras = []
    for entry in entries:
        name, separator, source = entry.partition("=")
        shown_name = name.partition(":")[0]  # without an id, `name` is the beginning of a URL with its password
        if not separator:
            raise InputError(f"{origin}: {shown_name}", "not of the form id=source", "write it as gate=rtsp://…")
        try:
            cameras.append(CameraRequest(id=name.strip(), source=source))
        except ValidationError as error:
            remedy = "an id consists of letters, digits, . _ and -"
            raise InputError(f"{origin}: {shown_name}", _explain(error), remedy) from None
    return _check_unique(cameras, origin)


def _check_unique(cameras: list[CameraRequest], origin: str) -> list[CameraRequest]:
    """Raise InputError for two cameras with one id: it is unclear which is meant."""
    for camera_id, count in Counter(camera.id for camera in cameras).items():
        if count > 1:
            why = f"this camera is listed {count} times"
            raise InputError(f"{origin}: {camera_id}", why, "give each camera its own id")
    return cameras


def merge_cameras(*sources: Iterable[CameraRequest]) -> list[CameraRequest]:
    """All cameras; for the same id, a later source wins."""
    cameras: dict[str, CameraRequest] = {}
    for source in sources:
        cameras.update((camera.id, camera) for camera in source)
    return list(cameras.values())


def cameras_from_environment(env: Mapping[str, str]) -> list[CameraRequest]:
    """The cameras of XAIVA_CAMERAS: `id=source` entries with white space between them."""
    text = env.get("XAIVA_CAMERAS", "").strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":  # container engines keep the quotes of an env file
        text = text[1:-1]
    return parse_camera_entries(text.split(), "XAIVA_CAMERAS")


def _explain(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return every_problem(error)[0]
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}: not valid JSON: {error.msg}"
    return str(error) if isinstance(error, RepeatedKey) else "not UTF-8 text"
