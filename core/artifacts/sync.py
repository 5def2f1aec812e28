"""Sync: bring the artifacts in line with the lock. What is good is not touched; what was begun is continued."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from core.artifacts.derived import derived_files
from core.artifacts.download import Downloader
from core.artifacts.lockfile import LockedFile
from core.artifacts.making import make
from core.artifacts.network import Network
from core.artifacts.partial import Partial, leftovers
from core.artifacts.plan import SyncPlan, Work, check_space, plan, prepare, summarize
from core.artifacts.seen import Seen, remember_links
from core.artifacts.stages import stage
from core.artifacts.store import PARTIAL, folder
from core.artifacts.survey import MANAGED
from core.artifacts.verify import lock_findings, wrong_contents
from core.errors import XaivaError
from core.files import TEMPORARY_PREFIX, fsync_folder, move_into_place, sha256_file, write_atomic
from core.progress import Progress, Stage, StageState
from core.site import Site

__all__ = ["SyncPlan", "plan", "run"]

STAGE = "sync"
NAMED_IN_ERROR = 10


def run(site: Site, subject: str, options: Mapping[str, JsonValue], progress: Progress) -> dict[str, JsonValue]:
    """Sync the preset `subject`. Option `plan`: only say what would be done.

    The outcome: the numbers of the plan, and after the work `fetched_bytes`, `linked_files`, `removed`, `repaired`,
    `seconds` and, as `findings`, what the lock itself lacks: with that, nothing can be built. Raises XaivaError when
    the disk will not do or some file cannot be had: all others are there then; OSError when the disk fills up all the
    same.
    """
    started = time.monotonic()
    seen = Seen(site, subject)
    with stage(progress, "plan", "look at what is there"):
        work = prepare(site, subject, seen, progress)
    numbers = summarize(site, subject, work, seen)
    outcome: dict[str, JsonValue] = numbers.model_dump(mode="json")
    if options.get("plan"):
        return outcome
    check_space(site, numbers)
    syncing = _Syncing(site, subject, work, seen, progress)
    try:
        syncing.bring()
    finally:
        seen.save({file.path for file in work.lock.files})
    outcome |= {
        "fetched_bytes": syncing.fetched,
        "linked_files": syncing.linked,
        "removed": [*work.survey.extra],
        "repaired": [*sorted(work.survey.problems)],
        "seconds": round(time.monotonic() - started, 3),
        "findings": [finding.model_dump(mode="json") for finding in lock_findings(site, subject, work.lock)],
    }
    return outcome


class _Syncing:
    """The work of one sync, step by step."""

    def __init__(self, site: Site, preset: str, work: Work, seen: Seen, progress: Progress) -> None:
        self.site = site
        self.preset = preset
        self.work = work
        self.seen = seen
        self.progress = progress
        self.folder = folder(site, preset)
        self.fetched = 0
        self.linked = 0
        self._began = time.time()
        self._shown: dict[Partial, Stage] = {}
        self._told = 0  # arrived files that the log has a line of

    def bring(self) -> None:
        """All of it. Raises XaivaError, OSError when the disk is full, Cancelled."""
        self._mend_folder()
        failures = wrong_contents(self.folder, self.work.survey.good)
        failures += self._fetch(self.work.fetch)
        failures += self._fetch(self._link())
        if self.work.make:
            with stage(self.progress, "make", "files made here"):
                failures += make(self.site, self.preset, self.work.make, self.progress)
                self._remember(self.work.make)
        self._clean_up(failures)
        if failures:
            raise _together(self.preset, failures)

    def _mend_folder(self) -> None:
        """Remove what the lock does not know, name what is wrong, write what follows from the lock."""
        for path in self.work.survey.extra:
            self.progress.log(f"removed {path}: it is not in the lock")
            (self.folder / path).unlink(missing_ok=True)
        _remove_empty(self.folder)
        for path, problem in sorted(self.work.survey.problems.items()):
            self.progress.log(f"{path} {problem}; bringing it in again")
            self.seen.forget(path)
            target = self.folder / path
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
        derived = derived_files(self.work.lock)
        for name in self.work.survey.derived:
            write_atomic(self.folder / name, derived[name])

    def _link(self) -> list[LockedFile]:
        """Share equal files, of other presets or just fetched. Returns those to fetch, as theirs is not equal."""
        not_equal, shared = [], []
        for file, twin in self.work.link:
            if self._share(file, twin):
                shared.append(file)
                self.progress.log(f"{file.path}: {_megabytes(file.size)} shared with {twin}", STAGE)
            elif file.url.startswith(("http://", "https://")):
                not_equal.append(file)
            else:
                self.work.make.append(file)
        self.linked = len(shared)
        remember_links(self.site, self.preset, shared)
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
        partials = [Partial(file, file.under(self.folder), self.folder / PARTIAL, self._urls(file)) for file in files]
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
            self.seen.bytes_per_second = round(downloader.received / elapsed)
        return downloader.failures

    def _urls(self, file: LockedFile) -> list[str]:
        """The mirrors' addresses of a file, longest matching prefix first, then its own."""
        prefixes = sorted(self.site.settings.sync.mirrors.items(), key=lambda row: -len(row[0]))
        mirrored = [mirror + file.url[len(prefix) :] for prefix, mirror in prefixes if file.url.startswith(prefix)]
        return [*mirrored, file.url]

    def _remember(self, files: list[LockedFile]) -> None:
        for file in files:
            try:
                self.seen.remember(file.path, os.lstat(file.under(self.folder)), file.sha256)
            except OSError:
                continue  # it could not be made; the failure is told elsewhere

    def _clean_up(self, failures: list[XaivaError]) -> None:
        """Drop what no later sync would go on with."""
        wanted = {file.sha256 for file in self.work.survey.needed()} if failures else set()
        partial = self.folder / PARTIAL
        for path in leftovers(partial, wanted):
            path.unlink(missing_ok=True)
        if partial.is_dir() and not any(partial.iterdir()):
            partial.rmdir()

    # -- what is shown --------------------------------------------------------------------------------------------

    def _show(self, downloader: Downloader, total: int) -> None:
        self._tell_arrived(downloader)
        self.progress.stage(self._overall(downloader, total, StageState.RUNNING, f"{self._told} files arrived"))
        in_flight = downloader.in_flight()
        for partial in [partial for partial in self._shown if partial not in in_flight]:
            self._hide(partial, downloader)
        for partial in in_flight:
            self._shown[partial] = _stage_of(partial, StageState.RUNNING)
            self.progress.stage(self._shown[partial])

    def _tell_arrived(self, downloader: Downloader) -> None:
        """A line in the log for each file that is there now."""
        for partial in downloader.arrived[self._told :]:
            self.progress.log(f"{partial.file.path}: {_megabytes(partial.file.size)} from {partial.host}", STAGE)
            self._told += 1

    def _hide(self, partial: Partial, downloader: Downloader) -> None:
        del self._shown[partial]
        state = StageState.DONE if partial in downloader.arrived else StageState.WAITING
        self.progress.stage(_stage_of(partial, state))

    def _show_end(self, downloader: Downloader, total: int, state: StageState) -> None:
        self._tell_arrived(downloader)
        for partial in list(self._shown):
            self._hide(partial, downloader)
        self.progress.stage(self._overall(downloader, total, state, f"{len(downloader.arrived)} files arrived"))

    def _overall(self, downloader: Downloader, total: int, state: StageState, detail: str) -> Stage:
        return Stage(
            id=STAGE,
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
    """A file's size, for a line of the log."""
    return f"{size / 1e6:.1f} MB"


def _stage_of(partial: Partial, state: StageState) -> Stage:
    return Stage(
        id=f"file:{partial.file.path}",
        title=partial.target.name,
        state=state,
        done=partial.file.size if state is StageState.DONE else partial.done,
        total=partial.file.size,
        unit="bytes",
        started=partial.started,
        ended=time.time() if state is StageState.DONE else 0.0,
        parent=STAGE,
    )


def _remove_empty(root: Path) -> None:
    for managed in MANAGED:
        for path, folders, names in os.walk(root / managed, topdown=False):
            if not folders and not names:
                Path(path).rmdir()


def _together(preset: str, failures: list[XaivaError]) -> XaivaError:
    if len(failures) == 1:
        return failures[0]
    lines = [f"{error.what}: {error.why}" for error in failures[:NAMED_IN_ERROR]]
    more = len(failures) - NAMED_IN_ERROR
    if more > 0:
        lines.append(f"and {more} more")
    return XaivaError(
        f"{len(failures)} files of {preset} could not be brought in", "; ".join(lines), failures[0].remedy
    )
