"""Asks the engine what its objects take on disk. It may read every volume for that, which can take minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.containers.engine_stream import engine_get
from core.engine import EngineError, engine_errors
from core.engine_objects.listing import known_size, known_time, parse_object
from core.engine_objects.model import CacheRecord, CacheType, DiskUsage
from core.redaction import redact_text

if TYPE_CHECKING:
    import docker

_WHAT = "Disk usage of the engine"
IMAGES, VOLUMES, CONTAINERS, CACHE = "image", "volume", "container", "build-cache"  # the API's words
EVERYTHING = (IMAGES, VOLUMES, CONTAINERS, CACHE)


def disk_usage(client: docker.DockerClient, parts: tuple[str, ...] = EVERYTHING) -> DiskUsage:
    """The sizes of these parts, and the build cache. The client's timeout is the limit. Raises EngineError."""
    with engine_errors(_WHAT):
        answer = engine_get(client, "/system/df", {"verbose": 1, "type": list(parts)}).json()
    if not isinstance(answer, dict):
        raise EngineError(_WHAT, "the engine's answer cannot be read")
    images = _rows(answer, "ImageUsage", "Images") if IMAGES in parts else None
    volumes = _rows(answer, "VolumeUsage", "Volumes") if VOLUMES in parts else None
    containers = _rows(answer, "ContainerUsage", "Containers") if CONTAINERS in parts else None
    cache = _rows(answer, "BuildCacheUsage", "BuildCache") if CACHE in parts else None
    return DiskUsage(
        layers=None if images is None else _layers_size(answer),
        shared_sizes=None if images is None else {row.get("Id", ""): _size(row, "SharedSize") for row in images},
        volume_sizes=None if volumes is None else {row.get("Name", ""): _volume_size(row) for row in volumes},
        containers=None if containers is None else sum(_size(row, "SizeRw") or 0 for row in containers),
        cache=None if cache is None else [parse_object(row, CacheRecord, _parse_record) for row in cache],
    )


def _rows(answer: dict[str, Any], name: str, old_name: str) -> list[dict[str, Any]] | None:
    """The rows of one part: since API 1.52 in an object of its own, before that a list. None when it is missing."""
    part = answer.get(name)
    if not isinstance(part, dict) and old_name not in answer:
        return None
    rows = part.get("Items") if isinstance(part, dict) else answer[old_name]
    return [row for row in rows or [] if isinstance(row, dict)]


def _layers_size(answer: dict[str, Any]) -> int | None:
    part = answer.get("ImageUsage")
    return _size(part, "TotalSize") if isinstance(part, dict) else _size(answer, "LayersSize")


def _volume_size(row: dict[str, Any]) -> int | None:
    usage = row.get("UsageData")
    return _size(usage, "Size") if isinstance(usage, dict) else None


def _size(row: dict[str, Any], name: str) -> int | None:
    """A size of the engine's; one that is not a number is unknown."""
    return known_size(row[name]) if isinstance(row.get(name), int) else None


def _parse_record(row: dict[str, Any]) -> CacheRecord:
    parents = row.get("Parents") or row.get(" Parents") or row.get("Parent") or []  # a blank until API 1.45
    return CacheRecord(
        id=row["ID"],
        name=redact_text(row.get("Description") or row["ID"]),
        type=CacheType(row.get("Type")),
        created=known_time(row.get("CreatedAt")),
        last_used=known_time(row.get("LastUsedAt")),
        size=known_size(row.get("Size")),
        in_use=bool(row.get("InUse")),
        shared=bool(row.get("Shared")),
        usage_count=row.get("UsageCount"),
        parents=[parents] if isinstance(parents, str) else parents,
    )
