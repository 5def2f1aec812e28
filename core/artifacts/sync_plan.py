"""The plan of a sync: which files it would fetch, link, build and remove."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from pydantic import BaseModel, ConfigDict

from core.artifacts.inventory import Inventory, take_inventory
from core.artifacts.lock_store import PARTIAL_FOLDER, artifacts_folder, locked_presets, read_lock
from core.artifacts.lockfile import Lock, LockedFile
from core.artifacts.verification_cache import VerificationCache
from core.disk_space import FREE_SPACE_MARGIN, free_bytes, nearest_existing, no_space
from core.progress import NullProgress, Progress
from core.site import Site


class SyncPlan(BaseModel):
    """The numbers of a plan. All sizes are in bytes."""

    model_config = ConfigDict(frozen=True)

    preset: str
    files: int
    bytes: int
    present_files: int
    present_bytes: int
    fetch_files: int
    fetch_bytes: int
    """To fetch over the network, without the `resumed_bytes` of a stopped sync."""
    resumed_bytes: int
    link_files: int
    """Files that another preset, or another file of this one, has already."""
    link_bytes: int
    make_files: int
    """Files to build on this machine: blobs of base images, snapshots, the service wheel."""
    make_bytes: int
    corrupt: list[str] = []
    extra: list[str] = []
    free_bytes: int
    needed_bytes: int
    seconds: float | None = None
    """An estimate from the speed of the last sync; None without one."""
    unlocked: int = 0

    @property
    def fits(self) -> bool:
        """Whether the free disk space is sufficient."""
        return self.needed_bytes == 0 or self.needed_bytes + FREE_SPACE_MARGIN <= self.free_bytes


@dataclass
class SyncPlanDetails:
    """A plan file by file: the origin of each needed file."""

    lock: Lock
    inventory: Inventory
    fetch: list[LockedFile] = field(default_factory=list)
    link: list[tuple[LockedFile, Path]] = field(default_factory=list)
    make: list[LockedFile] = field(default_factory=list)


def plan(site: Site, preset: str) -> SyncPlan:
    """What a sync of the preset would do; changes nothing. Raises XaivaError without a lock."""
    cache = VerificationCache(site, preset)
    details = prepare_sync(site, preset, cache, NullProgress())
    return summarize(site, preset, details, cache)


def prepare_sync(site: Site, preset: str, cache: VerificationCache, progress: Progress) -> SyncPlanDetails:
    """Take the inventory and find the origin of each missing file. Raises XaivaError, Cancelled."""
    lock = read_lock(site, preset)
    details = SyncPlanDetails(lock, take_inventory(artifacts_folder(site, preset), lock, cache, progress.cancelled))
    needed = details.inventory.needed()
    twins = _twins(site, preset, details, {file.sha256 for file in needed}) if needed else {}
    for file in needed:
        if file.sha256 in twins:
            details.link.append((file, twins[file.sha256]))
        elif file.url.startswith(("http://", "https://")):
            details.fetch.append(file)
            twins[file.sha256] = file.under(artifacts_folder(site, preset))  # an equal one is linked to it
        else:
            details.make.append(file)
    return details


def summarize(site: Site, preset: str, details: SyncPlanDetails, cache: VerificationCache) -> SyncPlan:
    """The numbers of a plan."""
    target = artifacts_folder(site, preset)
    resumed = sum(min(file.size, _on_disk(target / PARTIAL_FOLDER / f"{file.sha256}.part")) for file in details.fetch)
    links = [file for file, twin in details.link if not _same_disk(target, twin)]
    fetch = _bytes(details.fetch)
    needed = fetch - resumed + _bytes(details.make) + _bytes(links)
    speed = cache.bytes_per_second
    return SyncPlan(
        preset=preset,
        files=len(details.lock.files),
        bytes=_bytes(details.lock.files),
        present_files=len(details.inventory.good),
        present_bytes=_bytes(details.inventory.good),
        fetch_files=len(details.fetch),
        fetch_bytes=fetch - resumed,
        resumed_bytes=resumed,
        link_files=len(details.link),
        link_bytes=_bytes([file for file, _ in details.link]),
        make_files=len(details.make),
        make_bytes=_bytes(details.make),
        corrupt=[f"{path} {problem}" for path, problem in sorted(details.inventory.problems.items())],
        extra=details.inventory.extra,
        free_bytes=free_bytes(target),
        needed_bytes=needed,
        seconds=round((fetch - resumed) / speed, 1) if speed else None,
        unlocked=len(details.lock.unlocked),
    )


def check_space(site: Site, sync_plan: SyncPlan) -> None:
    """Raise XaivaError when the files do not fit on the disk."""
    if not sync_plan.fits:
        purpose = f"the artifacts of {sync_plan.preset}"
        raise no_space(purpose, sync_plan.needed_bytes, sync_plan.free_bytes, site.artifacts)


def _twins(site: Site, preset: str, details: SyncPlanDetails, needed_sha256s: set[str]) -> dict[str, Path]:
    """SHA-256 → an equal file on disk: a verified one of this preset, or one of another preset with the right size."""
    here = artifacts_folder(site, preset)
    twins = {file.sha256: file.under(here) for file in details.inventory.good if file.sha256 in needed_sha256s}
    others = ((name, lock) for name, lock in locked_presets(site) if name != preset)
    for name, lock in others:
        for file in lock.files:
            path = file.under(artifacts_folder(site, name))
            if file.sha256 in needed_sha256s and file.sha256 not in twins and _may_be_good(file, path):
                twins[file.sha256] = path
    return twins


def _may_be_good(file: LockedFile, path: Path) -> bool:
    """Whether type and size are right; the SHA-256 is checked when the file is used."""
    try:
        stat = os.lstat(path)
    except OSError:
        return False
    return S_ISREG(stat.st_mode) and stat.st_size == file.size


def _same_disk(target: Path, twin: Path) -> bool:
    return os.stat(nearest_existing(target)).st_dev == os.stat(nearest_existing(twin)).st_dev


def _on_disk(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def _bytes(files: list[LockedFile]) -> int:
    return sum(file.size for file in files)
