"""What can go in the folders of a site."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from core.artifacts.inventory import find_extra
from core.artifacts.lock_store import (
    INCOMING_FOLDER,
    INCOMING_JOURNAL,
    LOCK_NAME,
    PARTIAL_FOLDER,
    artifacts_folder,
    find_lock,
)
from core.artifacts.lockfile import Lock
from core.artifacts.partial_download import stale_files
from core.clean.holds import Holds
from core.clean.model import Category, Findings, UnknownPart
from core.errors import InputError, XaivaError, os_reason
from core.files import TEMPORARY_PREFIX
from core.images.build_history import BuildOutcome, builds_folder
from core.site import Site

TEMPORARY_SECONDS = 86400.0  # age from which no program can still be writing a temporary file
STAGING_SECONDS = 7 * 86400.0  # age from which nobody goes on with an interrupted unpack
COPY_SECONDS = 7 * 86400.0  # age from which nobody looks for a copied text any more
_BUILD_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{6}")
_OPERATION_FILE = re.compile(r"(\d+)\.(log|reserve|[0-9a-f]{8}\.lock)")


def find_artifacts(site: Site, holds: Holds, findings: Findings) -> None:
    """Artifacts of presets that are gone, and files of others that their lock does not name."""
    if holds.presets is None:
        findings.unknown.append(UnknownPart(category=Category.ARTIFACTS, why=holds.presets_problem))
        return
    for folder in _folders(site.artifacts):
        name = folder.name
        if name == INCOMING_FOLDER:
            continue  # a leftover, if anything
        if holder := holds.holder(name):
            findings.keep(Category.ARTIFACTS, name, f"artifacts/{name}", f"{holder} uses it")
        elif not holds.is_gone(name):
            _find_extra_files(site, name, findings)
        elif container := holds.user(folder):
            findings.keep(Category.ARTIFACTS, name, f"artifacts/{name}", f"the container {container} mounts it")
        elif not (folder / LOCK_NAME).is_file():
            why = "it has no lock, so it may be of another program"
            findings.keep(Category.ARTIFACTS, name, f"artifacts/{name}", why)
        else:
            findings.offer(
                Category.ARTIFACTS,
                name,
                f"artifacts/{name}",
                f"the preset {name} no longer exists",
                size=freed_bytes([folder]),
                loss="its lock and files; another lock and sync of such a preset need the network",
                remove=partial(_remove_artifacts, folder),
            )


def _find_extra_files(site: Site, preset: str, findings: Findings) -> None:
    try:
        lock = find_lock(site, preset)
        extra = [] if lock is None else _extra_files(artifacts_folder(site, preset), lock)
    except XaivaError as error:
        findings.keep(Category.ARTIFACTS, preset, f"artifacts/{preset}", error.summary)
        return
    if extra:
        findings.offer(
            Category.ARTIFACTS,
            f"{preset}/extra",
            f"artifacts/{preset}: {_count(len(extra), 'file')}",
            "its lock does not name them",
            size=freed_bytes(extra),
            loss="nothing: no build uses them",
            remove=partial(_remove_extra, site, preset),
        )


def _extra_files(folder: Path, lock: Lock) -> list[Path]:
    """Files that the lock does not name, and parts of downloads that no sync will resume."""
    extra = [folder / path for path in find_extra(folder, lock)]
    missing = {file.sha256 for file in lock.files if not file.under(folder).is_file()}
    return [*extra, *stale_files(folder / PARTIAL_FOLDER, missing)]


def _remove_extra(site: Site, preset: str) -> None:
    """Remove what is extra now: the lock may have changed since the plan."""
    lock = find_lock(site, preset)
    for path in [] if lock is None else _extra_files(artifacts_folder(site, preset), lock):
        path.unlink(missing_ok=True)


def _remove_artifacts(folder: Path) -> None:
    """Remove an artifacts folder; its lock goes last, because it marks the folder as one of xaiva."""
    for path in folder.iterdir():
        if path.name != LOCK_NAME:
            _remove(path)
    _remove(folder)


def find_builds(site: Site, holds: Holds, findings: Findings) -> None:
    """Build records beyond those that the site keeps."""
    ids = sorted(path.name for path in _folders(builds_folder(site)) if _BUILD_ID.fullmatch(path.name))
    running = {record.id for record in holds.builds.values() if record.outcome is BuildOutcome.RUNNING}
    good = holds.last_good_builds()
    old = set(ids[: -site.settings.operations.keep]) - running
    folders = [builds_folder(site) / name for name in sorted(old - good)]
    if old & good:
        why = "they made the last good images of their presets"
        findings.keep(Category.BUILDS, "good", f".xaiva/builds: {_count(len(old & good), 'old build')}", why)
    if folders:
        _offer_all(
            findings,
            Category.BUILDS,
            ".xaiva/builds",
            folders,
            "old build",
            f"the site keeps the newest {site.settings.operations.keep} ([operations] keep)",
            "their logs and stage times",
        )


def find_operation_files(site: Site, holds: Holds, findings: Findings) -> None:
    """Logs of operations that the ledger no longer has. Without a ledger no log counts as such."""
    recorded = {operation.id for operation in holds.operations}
    files = [
        path
        for path in _entries(site.state / "operations")
        if recorded and (match := _OPERATION_FILE.fullmatch(path.name)) and int(match[1]) not in recorded
    ]
    if files:
        why = "the ledger no longer has their operations"
        _offer_all(findings, Category.OPERATIONS, ".xaiva/operations", files, "log", why, "their text")


def find_leftovers(site: Site, holds: Holds, findings: Findings) -> None:
    """Temporary files of programs that were killed, and what an unpack or upgrade left unfinished."""
    if holder := holds.holder():
        findings.keep(Category.LEFTOVERS, "temporary", "temporary files", f"{holder} may use them")
        return
    for path in _temporary_files(site, holds):
        _offer_path(site, findings, Category.LEFTOVERS, path, "the program that wrote it was killed", "nothing")
    incoming = site.artifacts / INCOMING_FOLDER
    if incoming.is_dir() and _age(incoming) > STAGING_SECONDS and not (incoming / INCOMING_JOURNAL).exists():
        why = "an unpack left it, and no operation goes on with it"
        _offer_path(site, findings, Category.LEFTOVERS, incoming, why, "what it had copied already")


def find_clips(site: Site, _holds: Holds, findings: Findings) -> None:
    """Texts that the console saved because a clipboard could not take them. Recordings belong to the service."""
    files = [path for path in _entries(site.state / "clips") if _age(path) > COPY_SECONDS]
    if files:
        why = "the console saved them for a clipboard more than a week ago"
        _offer_all(findings, Category.CLIPS, ".xaiva/clips", files, "copied text", why, "these texts")
    why = "the inference service removes them itself: XAIVA_CLIPS_DAYS, XAIVA_CLIPS_GB, XAIVA_CLIPS_FREE_GB"
    findings.keep(Category.CLIPS, "service", "clips and snapshots of events", why)


def freed_bytes(paths: Iterable[Path]) -> int:
    """What the removal of these files and folders frees: a file that also has a name elsewhere frees nothing."""
    names: Counter[tuple[int, int]] = Counter()
    files: dict[tuple[int, int], os.stat_result] = {}
    for path in paths:
        for file in _files_below(path):
            try:
                state = os.lstat(file)
            except OSError:
                continue  # it has just gone
            identity = state.st_dev, state.st_ino
            names[identity] += 1
            files[identity] = state
    return sum(state.st_blocks * 512 for identity, state in files.items() if names[identity] >= state.st_nlink)


def _files_below(path: Path) -> Iterator[str]:
    if not path.is_dir() or path.is_symlink():
        yield os.fspath(path)
        return
    for folder, _, names in os.walk(path):
        yield from (f"{folder}/{name}" for name in names)


def _temporary_files(site: Site, holds: Holds) -> Iterator[Path]:
    """Old temporary files below the site, without those in artifacts that an operation holds, or that go as a whole."""
    yield from filter(_is_old_temporary, _entries(site.root))
    for top in (site.presets, site.artifacts, site.docker, site.state):
        for folder, folders, names in os.walk(top):
            if top == site.artifacts == Path(folder):
                folders[:] = [name for name in folders if not holds.holder(name) and not holds.is_gone(name)]
            yield from filter(_is_old_temporary, (Path(folder, name) for name in [*folders, *names]))
            folders[:] = [name for name in folders if not name.startswith(TEMPORARY_PREFIX)]


def _is_old_temporary(path: Path) -> bool:
    return path.name.startswith(TEMPORARY_PREFIX) and _age(path) > TEMPORARY_SECONDS


def _age(path: Path) -> float:
    """Seconds since the newest change of a file, or of anything in a folder; 0 when that is unknown."""
    newest = 0.0
    try:
        newest = os.lstat(path).st_mtime
        for file in _files_below(path):
            newest = max(newest, os.lstat(file).st_mtime)
    except OSError:
        return 0
    return time.time() - newest


def _offer_all(
    findings: Findings, category: Category, where: str, paths: list[Path], noun: str, why: str, loss: str
) -> None:
    """Offer files or folders of one folder as one item."""
    what = f"{where}: {_count(len(paths), noun)}"
    remove = partial(_remove_all, paths)
    findings.offer(category, "old", what, why, size=freed_bytes(paths), loss=loss, remove=remove)


def _offer_path(site: Site, findings: Findings, category: Category, path: Path, why: str, loss: str) -> None:
    name = path.relative_to(site.root).as_posix()
    findings.offer(category, name, name, why, size=freed_bytes([path]), loss=loss, remove=partial(_remove, path))


def _remove_all(paths: list[Path]) -> None:
    for path in paths:
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a file, a link or a folder; one that is gone already is as good. Raises OSError."""
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        if os.path.lexists(path):
            raise


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir() and not path.is_symlink()]


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; nothing when there is none. Raises InputError when it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"Folder {folder}", os_reason(error), "check its permissions and its medium") from error


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
