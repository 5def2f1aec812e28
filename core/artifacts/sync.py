"""Sync: make the artifacts match the lock. Good files stay untouched, and stopped downloads resume."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from core.artifacts.download import Downloader
from core.artifacts.generated_files import generated_files
from core.artifacts.inventory import MANAGED_FOLDERS
from core.artifacts.local_builds import build_local_files
from core.artifacts.lock_store import PARTIAL_FOLDER, artifacts_folder
from core.artifacts.lockfile import LockedFile
from core.artifacts.network import Network
from core.artifacts.partial_download import PartialDownload, stale_files
from core.artifacts.sync_plan import SyncPlan, SyncPlanDetails, check_space, plan, prepare_sync, summarize
from core.artifacts.verification_cache import VerificationCache, share_verification
from core.artifacts.verify import lock_findings, wrong_content_errors
from core.errors import XaivaError
from core.files import TEMPORARY_PREFIX, fsync_folder, move_into_place, sha256_file, write_atomic
from core.progress import Progress, Stage, StageState, stage
from core.site import Site

__all__ = ["SyncPlan", "plan", "run"]

STAGE_ID = "sync"
MAX_NAMED_FAILURES = 10


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Sync the preset `subject`. Option `plan`: only return the plan.

    The outcome: the numbers of the plan, and after the work `fetched_bytes`, `linked_files`, `removed`, `repaired`,
    `seconds` and `findings` (what the lock itself lacks for a build). Raises XaivaError when the files do not fit on
    the disk, or when some file is unavailable (after all others are fetched); OSError when the disk fills up.
    """
    started = time.monotonic()
    cache = VerificationCache(site, subject)
    with stage(progress, "plan", "compare with the lock"):
        details = prepare_sync(site, subject, cache, progress)
    numbers = summarize(site, subject, details, cache)
    outcome: dict[str, JsonValue] = numbers.model_dump(mode="json")
    if options.get("plan"):
        return outcome
    check_space(site, numbers)
    sync_run = _SyncRun(site, subject, details, cache, progress)
    try:
        sync_run.run()
    finally:
        cache.save({file.path for file in details.lock.files})
    outcome |= {
        "fetched_bytes": sync_run.fetched,
        "linked_files": sync_run.linked,
        "removed": [*details.inventory.extra],
        "repaired": [*sorted(details.inventory.problems)],
        "seconds": round(time.monotonic() - started, 3),
        "findings": [finding.model_dump(mode="json") for finding in lock_findings(site, subject, details.lock)],
    }
    return outcome


class _SyncRun:
    """The work of one sync, step by step."""

    def __init__(
        self, site: Site, preset: str, details: SyncPlanDetails, cache: VerificationCache, progress: Progress
    ) -> None:
        self.site = site
        self.preset = preset
        self.details = details
        self.cache = cache
        self.progress = progress
        self.folder = artifacts_folder(site, preset)
        self.fetched = 0
        self.linked = 0
        self._began = time.time()
        self._shown: dict[PartialDownload, Stage] = {}
        self._logged_files = 0  # of the downloader's arrived files

    def run(self) -> None:
        """Repair, fetch, link and build. Raises XaivaError, OSError when the disk is full, Cancelled."""
        self._repair_folder()
        failures = wrong_content_errors(self.folder, self.details.inventory.good)
        failures += self._fetch(self.details.fetch)
        failures += self._fetch(self._link_equal_files())
        if self.details.make:
            with stage(self.progress, "make", "build local files"):
                failures += build_local_files(self.site, self.preset, self.details.make, self.progress)
                self._remember(self.details.make)
        self._clean_up(failures)
        if failures:
            raise _combine_failures(self.preset, failures)

    def _repair_folder(self) -> None:
        """Remove extra files, log wrong ones, and write the generated files."""
        for path in self.details.inventory.extra:
            self.progress.log(f"removed {path}: it is not in the lock")
            (self.folder / path).unlink(missing_ok=True)
        _remove_empty(self.folder)
        for path, problem in sorted(self.details.inventory.problems.items()):
            self.progress.log(f"{path} {problem}; fetching it again")
            self.cache.forget(path)
            target = self.folder / path
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
        derived = generated_files(self.details.lock)
        for name in self.details.inventory.outdated:
            write_atomic(self.folder / name, derived[name])

    def _link_equal_files(self) -> list[LockedFile]:
        """Link equal files, of other presets or just fetched. Returns files to fetch, because theirs is not equal."""
        not_equal, shared = [], []
        for file, twin in self.details.link:
            if self._share(file, twin):
                shared.append(file)
                self.progress.log(f"{file.path}: {_megabytes(file.size)} shared with {twin}", STAGE_ID)
            elif file.url.startswith(("http://", "https://")):
                not_equal.append(file)
            else:
                self.details.make.append(file)
        self.linked = len(shared)
        share_verification(self.site, self.preset, shared)
        return not_equal

    def _share(self, file: LockedFile, twin: Path) -> bool:
        target = file.under(self.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}")
        temporary.unlink(missing_ok=True)
        try:
            try:
                os.link(twin, temporary)
            except OSError:
                shutil.copyfile(twin, temporary)  # another disk, or a file system without hard links
            if sha256_file(temporary) != file.sha256:
                return False
            move_into_place(temporary, target)
        except FileNotFoundError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        self._remember([file])
        return True

    def _fetch(self, files: list[LockedFile]) -> list[XaivaError]:
        if not files:
            return []
        started = time.monotonic()
        partials = [
            PartialDownload(file, file.under(self.folder), self.folder / PARTIAL_FOLDER, self._urls(file))
            for file in files
        ]
        network = Network(self.site)
        downloader = Downloader(network, self.site.settings.sync, self.progress)
        total = sum(file.size for file in files)
        state = StageState.FAILED
        try:
            downloader.fetch(partials, lambda: self._show(downloader, total))
            state = StageState.FAILED if downloader.failures else StageState.DONE
        finally:
            self.fetched += downloader.received
            self._remember([partial.file for partial in downloader.arrived])
            for parent in {partial.target.parent for partial in downloader.arrived}:
                fsync_folder(parent)
            if self.progress.cancelled():
                state = StageState.CANCELLED
            self._show_end(downloader, total, state)
        elapsed = time.monotonic() - started
        if downloader.received and elapsed > 0:
            self.cache.bytes_per_second = round(downloader.received / elapsed)
        return downloader.failures

    def _urls(self, file: LockedFile) -> list[str]:
        """The mirrors' addresses of a file, longest matching prefix first, then its own."""
        prefixes = sorted(self.site.settings.sync.mirrors.items(), key=lambda row: -len(row[0]))
        mirrored = [mirror + file.url[len(prefix) :] for prefix, mirror in prefixes if file.url.startswith(prefix)]
        return [*mirrored, file.url]

    def _remember(self, files: list[LockedFile]) -> None:
        for file in files:
            try:
                self.cache.remember(file.path, os.lstat(file.under(self.folder)), file.sha256)
            except OSError:
                continue  # it could not be built, which is among the failures

    def _clean_up(self, failures: list[XaivaError]) -> None:
        """Delete partial downloads that no later sync can resume."""
        needed = {file.sha256 for file in self.details.inventory.needed()} if failures else set()
        partial = self.folder / PARTIAL_FOLDER
        for path in stale_files(partial, needed):
            path.unlink(missing_ok=True)
        if partial.is_dir() and not any(partial.iterdir()):
            partial.rmdir()

    # -- progress -------------------------------------------------------------------------------------------------

    def _show(self, downloader: Downloader, total: int) -> None:
        self._log_arrived(downloader)
        self.progress.stage(self._overall(downloader, total, StageState.RUNNING, f"{self._logged_files} files arrived"))
        in_flight = downloader.in_flight()
        for partial in [partial for partial in self._shown if partial not in in_flight]:
            self._hide(partial, downloader)
        for partial in in_flight:
            self._shown[partial] = _stage_of(partial, StageState.RUNNING)
            self.progress.stage(self._shown[partial])

    def _log_arrived(self, downloader: Downloader) -> None:
        """Log each file that has arrived since the last call."""
        for partial in downloader.arrived[self._logged_files :]:
            self.progress.log(f"{partial.file.path}: {_megabytes(partial.file.size)} from {partial.host}", STAGE_ID)
            self._logged_files += 1

    def _hide(self, partial: PartialDownload, downloader: Downloader) -> None:
        del self._shown[partial]
        state = StageState.DONE if partial in downloader.arrived else StageState.WAITING
        self.progress.stage(_stage_of(partial, state))

    def _show_end(self, downloader: Downloader, total: int, state: StageState) -> None:
        self._log_arrived(downloader)
        for partial in list(self._shown):
            self._hide(partial, downloader)
        self.progress.stage(self._overall(downloader, total, state, f"{len(downloader.arrived)} files arrived"))

    def _overall(self, downloader: Downloader, total: int, state: StageState, detail: str) -> Stage:
        return Stage(
            id=STAGE_ID,
            title="fetch files",
            state=state,
            done=min(total, downloader.resumed + downloader.received),
            total=total,
            unit="bytes",
            detail=detail,
            started=self._began,
            ended=0.0 if state is StageState.RUNNING else time.time(),
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _stage_of(partial: PartialDownload, state: StageState) -> Stage:
    return Stage(
        id=f"file:{partial.file.path}",
        title=partial.target.name,
        state=state,
        done=partial.file.size if state is StageState.DONE else partial.done,
        total=partial.file.size,
        unit="bytes",
        started=partial.started,
        ended=time.time() if state is StageState.DONE else 0.0,
        parent=STAGE_ID,
    )


def _remove_empty(root: Path) -> None:
    for managed in MANAGED_FOLDERS:
        for path, folders, names in os.walk(root / managed, topdown=False):
            if not folders and not names:
                Path(path).rmdir()


def _combine_failures(preset: str, failures: list[XaivaError]) -> XaivaError:
    if len(failures) == 1:
        return failures[0]
    lines = [error.summary for error in failures[:MAX_NAMED_FAILURES]]
    more = len(failures) - MAX_NAMED_FAILURES
    if more > 0:
        lines.append(f"and {more} more")
    return XaivaError(f"{len(failures)} files of {preset} could not be fetched", "; ".join(lines), failures[0].remedy)
