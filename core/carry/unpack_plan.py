"""What an unpack would do to each file of the site, and what it needs. Reads the site and changes nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.artifacts.hashing import hash_files
from core.artifacts.lock_store import locked_presets
from core.artifacts.verification_cache import VerificationCache
from core.carry.opened_shipment import OpenedShipment
from core.carry.shipment import CarriedFile, Content, Kind
from core.errors import InputError, XaivaError
from core.open_enum import OpenEnum
from core.site import Site


class FileState(OpenEnum):
    """What the site has at the path of a carried file."""

    HERE = "already here"
    NEW = "new"
    CHANGED = "changed"


@dataclass(frozen=True)
class PlannedFile:
    """A carried file, and what the site has in its place."""

    file: CarriedFile
    content: Content
    path: Path
    state: FileState


@dataclass
class UnpackPlan:
    """What to do, file by file."""

    files: list[PlannedFile] = field(default_factory=list)
    twins: dict[str, Path] = field(default_factory=dict)
    """SHA-256 of a missing content → a file of the site that should have it."""

    @property
    def missing(self) -> list[PlannedFile]:
        """The files to write."""
        return [item for item in self.files if item.state is not FileState.HERE]

    def contents_to_copy(self) -> list[Content]:
        """What has to come from the medium: every content once."""
        needed = {item.content.sha256: item.content for item in self.missing}
        return [content for sha256, content in needed.items() if sha256 not in self.twins]

    @property
    def needed_bytes(self) -> int:
        """The space that the copies take."""
        return sum(content.size for content in self.contents_to_copy())


def plan_unpack(site: Site, shipment: OpenedShipment, cancelled: Callable[[], bool]) -> UnpackPlan:
    """Compare the shipment with the site. Files that were verified on this disk before are not read again.

    Raises InputError when something stands in the way of a file, Cancelled.
    """
    contents = shipment.index.by_sha256()
    states, to_read = _look(site, shipment, contents)
    hashes = _hash(list(to_read.values()), cancelled)
    plan = UnpackPlan()
    for file in shipment.index.files:
        state = states[file.path]
        if file.path in to_read and hashes.get(to_read[file.path]) == file.sha256:
            state = FileState.HERE
        plan.files.append(PlannedFile(file, contents[file.sha256], site.root / file.path, state))
    plan.twins = _twins(site, plan)
    absent = {c.sha256 for c in plan.contents_to_copy()} & set(shipment.index.at_site)
    if absent:
        path = next(item.file.path for item in plan.missing if item.content.sha256 in absent)
        raise XaivaError(
            f"{path} is not on the medium",
            "it was packed for a site that has this file already, and this site does not have it",
            "pack a medium for this site: without --for, or with a new site report",
        )
    return plan


def _look(
    site: Site, shipment: OpenedShipment, contents: dict[str, Content]
) -> tuple[dict[str, FileState], dict[str, Path]]:
    """Path → state by type, size and earlier verification; and the paths whose bytes must be read to know it."""
    states: dict[str, FileState] = {}
    to_read: dict[str, Path] = {}
    caches = {name: VerificationCache(site, name) for name in {file.preset for file in shipment.index.files}}
    for file in shipment.index.files:
        path = site.root / file.path
        _check_way(site, path)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            states[file.path] = FileState.NEW
            continue
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}", "it is in the way: it is not a regular file", "move it away, then unpack again")
        states[file.path] = FileState.CHANGED
        name_in_folder = file.path.removeprefix(f"artifacts/{file.preset}/")
        if status.st_size != contents[file.sha256].size:
            continue
        if file.kind is Kind.ARTIFACT and caches[file.preset].is_verified(name_in_folder, status, file.sha256):
            states[file.path] = FileState.HERE
        else:
            to_read[file.path] = path
    return states, to_read


def _check_way(site: Site, path: Path) -> None:
    """Raise InputError when a folder on the way to `path` is a link out of the site, or a file."""
    for folder in reversed(path.relative_to(site.root).parents):
        try:
            status = os.lstat(site.root / folder)
        except FileNotFoundError:
            continue
        top = len(folder.parts) <= 1  # artifacts may lie on another disk, as a link
        if not (stat.S_ISDIR(status.st_mode) or (top and (site.root / folder).is_dir())):
            raise InputError(f"{site.root / folder}", "it is in the way: it is not a folder", "move it away")


def _hash(paths: list[Path], cancelled: Callable[[], bool]) -> dict[Path, str]:
    hashes: dict[Path, str] = {}

    def on_done(path: Path, sha256: str, _stat: os.stat_result | None, error: OSError | None) -> None:
        if error is None:
            hashes[path] = sha256

    hash_files(paths, lambda _path, _count: None, on_done, cancelled)
    return hashes


def _twins(site: Site, plan: UnpackPlan) -> dict[str, Path]:
    """Missing content → a file of the site with that content: one that is here, or one that a lock says is."""
    missing = {item.content.sha256: item.content.size for item in plan.missing}
    twins = {
        item.content.sha256: item.path
        for item in plan.files
        if item.state is FileState.HERE and item.content.sha256 in missing
    }
    for name, lock in locked_presets(site):
        for file in lock.files:
            path = file.under(site.artifacts / name)
            if file.sha256 in missing and file.sha256 not in twins and _has_size(path, file.size):
                twins[file.sha256] = path
    return twins


def _has_size(path: Path, size: int) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size
