"""The plan of a sync: what it would fetch, link, build and remove."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from pydantic import BaseModel, ConfigDict

from core.artifacts.lockfile import Lock, LockedFile
from core.artifacts.seen import Seen
from core.artifacts.store import PARTIAL, folder, locked_presets, read_lock
from core.artifacts.survey import Survey, survey
from core.errors import XaivaError
from core.progress import NullProgress, Progress
from core.site import Site

MARGIN = 64 << 20  # bytes left free for the file system itself, journals and whatever else runs


class SyncPlan(BaseModel):
    """All sizes in bytes. `fetch` counts what comes over the network, without what a stopped sync left;
    `link` what another preset has; `make` what is made here (blobs of the engine, snapshots, our own wheel).

    `seconds` is an estimate from the speed of the last sync, None without one.
    """

    model_config = ConfigDict(frozen=True)

    preset: str
    files: int
    bytes: int
    present_files: int
    present_bytes: int
    fetch_files: int
    fetch_bytes: int
    resumed_bytes: int
    link_files: int
    link_bytes: int
    make_files: int
    make_bytes: int
    corrupt: list[str] = []
    extra: list[str] = []
    free_bytes: int
    needed_bytes: int
    seconds: float | None = None
    unlocked: int = 0

    @property
    def fits(self) -> bool:
        """Whether the disk will do."""
        return self.needed_bytes == 0 or self.needed_bytes + MARGIN <= self.free_bytes


@dataclass
class Work:
    """A plan with its parts: where each needed file comes from."""

    lock: Lock
    survey: Survey
    fetch: list[LockedFile] = field(default_factory=list)
    link: list[tuple[LockedFile, Path]] = field(default_factory=list)
    make: list[LockedFile] = field(default_factory=list)


def plan(site: Site, preset: str) -> SyncPlan:
    """What a sync of the preset would do; it changes nothing. Raises XaivaError when there is no lock."""
    seen = Seen(site, preset)
    work = prepare(site, preset, seen, NullProgress())
    return summarize(site, preset, work, seen)


def prepare(site: Site, preset: str, seen: Seen, progress: Progress) -> Work:
    """Look at what is there, and find for each missing file where it comes from. Raises XaivaError, Cancelled."""
    lock = read_lock(site, preset)
    work = Work(lock, survey(folder(site, preset), lock, seen, progress.cancelled))
    needed = work.survey.needed()
    twins = _twins(site, preset, work, {file.sha256 for file in needed}) if needed else {}
    for file in needed:
        if file.sha256 in twins:
            work.link.append((file, twins[file.sha256]))
        elif file.url.startswith(("http://", "https://")):
            work.fetch.append(file)
            twins[file.sha256] = file.under(folder(site, preset))  # an equal one is linked to it
        else:
            work.make.append(file)
    return work


def summarize(site: Site, preset: str, work: Work, seen: Seen) -> SyncPlan:
    """The numbers of a plan."""
    target = folder(site, preset)
    resumed = sum(min(file.size, _on_disk(target / PARTIAL / f"{file.sha256}.part")) for file in work.fetch)
    links = [file for file, twin in work.link if not _same_disk(target, twin)]
    fetch = _bytes(work.fetch)
    needed = fetch - resumed + _bytes(work.make) + _bytes(links)
    speed = seen.bytes_per_second
    return SyncPlan(
        preset=preset,
        files=len(work.lock.files),
        bytes=_bytes(work.lock.files),
        present_files=len(work.survey.good),
        present_bytes=_bytes(work.survey.good),
        fetch_files=len(work.fetch),
        fetch_bytes=fetch - resumed,
        resumed_bytes=resumed,
        link_files=len(work.link),
        link_bytes=_bytes([file for file, _ in work.link]),
        make_files=len(work.make),
        make_bytes=_bytes(work.make),
        corrupt=[f"{path} {problem}" for path, problem in sorted(work.survey.problems.items())],
        extra=work.survey.extra,
        free_bytes=shutil.disk_usage(_existing(target)).free,
        needed_bytes=needed,
        seconds=round((fetch - resumed) / speed, 1) if speed else None,
        unlocked=len(work.lock.unlocked),
    )


def check_space(site: Site, numbers: SyncPlan) -> None:
    """Raise XaivaError when the disk will not do."""
    if not numbers.fits:
        lacking = (numbers.needed_bytes + MARGIN - numbers.free_bytes) / 1e6
        raise XaivaError(
            f"Not enough space for the artifacts of {numbers.preset}",
            f"{numbers.needed_bytes / 1e6:.0f} MB are to come, {numbers.free_bytes / 1e6:.0f} MB are free "
            f"on the disk of {site.artifacts}",
            f"free at least {lacking:.0f} MB there, or remove artifacts of presets no longer needed",
        )


def _twins(site: Site, preset: str, work: Work, wanted: set[str]) -> dict[str, Path]:
    """SHA-256 → an equal file that is here already: known to be good, or likely to be where another preset has it."""
    here = folder(site, preset)
    twins = {file.sha256: file.under(here) for file in work.survey.good if file.sha256 in wanted}
    others = ((name, lock) for name, lock in locked_presets(site) if name != preset)
    for name, lock in others:
        for file in lock.files:
            path = file.under(folder(site, name))
            if file.sha256 in wanted and file.sha256 not in twins and _may_be_good(file, path):
                twins[file.sha256] = path
    return twins


def _may_be_good(file: LockedFile, path: Path) -> bool:
    """By its size; it is read when it is used."""
    try:
        stat = os.lstat(path)
    except OSError:
        return False
    return S_ISREG(stat.st_mode) and stat.st_size == file.size


def _same_disk(target: Path, twin: Path) -> bool:
    return os.stat(_existing(target)).st_dev == os.stat(_existing(twin)).st_dev


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _on_disk(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def _bytes(files: list[LockedFile]) -> int:
    return sum(file.size for file in files)
