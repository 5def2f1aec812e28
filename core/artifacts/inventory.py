"""Inventory: compares an artifacts folder with its lock and lists good, missing, wrong and extra files."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.artifacts.generated_files import generated_files
from core.artifacts.hashing import hash_files
from core.artifacts.lockfile import Lock, LockedFile
from core.artifacts.verification_cache import VerificationCache
from core.errors import InputError, os_reason

MANAGED_FOLDERS = ("layers", "debs", "build-debs", "sources", "models", "images")  # a sync removes other files in them


@dataclass
class Inventory:
    """The state of an artifacts folder. Paths are relative to it."""

    good: list[LockedFile] = field(default_factory=list)
    missing: list[LockedFile] = field(default_factory=list)
    wrong: list[LockedFile] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Path → what is wrong with a file in `wrong`."""
    outdated: list[str] = field(default_factory=list)
    """Generated files that must be written again."""
    extra: list[str] = field(default_factory=list)
    """Files that are not in the lock."""

    def needed(self) -> list[LockedFile]:
        """The files to fetch or build."""
        return self.missing + self.wrong


def take_inventory(
    folder: Path,
    lock: Lock,
    cache: VerificationCache,
    cancelled: Callable[[], bool],
    on_read: Callable[[Path, int], None] | None = None,
    every_byte: bool = False,
) -> Inventory:
    """Compare folder and lock. A file that `cache` has verified is not read again, unless `every_byte`.

    `on_read(path, bytes)` may be called from any thread. Raises Cancelled.
    """
    result = Inventory()
    to_read: dict[Path, LockedFile] = {}
    for file in lock.files:
        path = file.under(folder)
        try:
            stat = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            result.missing.append(file)
            continue
        if not os.path.isfile(path) or os.path.islink(path):
            _add_wrong(result, file, "is not a regular file")
        elif stat.st_size != file.size:
            _add_wrong(result, file, f"has {stat.st_size} bytes instead of {file.size}")
        elif not every_byte and cache.is_verified(file.path, stat, file.sha256):
            result.good.append(file)
        else:
            to_read[path] = file
    _hash_unverified(result, to_read, lock, cache, on_read or _ignore_read, cancelled)
    generated = generated_files(lock)
    result.outdated = [name for name, content in generated.items() if not _has_content(folder / name, content)]
    result.extra = find_extra(folder, lock)
    return result


def _hash_unverified(
    result: Inventory,
    to_read: dict[Path, LockedFile],
    lock: Lock,
    cache: VerificationCache,
    on_read: Callable[[Path, int], None],
    cancelled: Callable[[], bool],
) -> None:
    names = {file.sha256: file.path for file in lock.files}
    guard = threading.Lock()

    def on_done(path: Path, sha256: str, stat: os.stat_result | None, error: OSError | None) -> None:
        file = to_read[path]
        with guard:
            if error is not None or stat is None:
                _add_wrong(result, file, f"cannot be read: {error.strerror if error else 'no such file'}")
            elif sha256 == file.sha256:
                cache.remember(file.path, stat, sha256)
                result.good.append(file)
            else:
                cache.forget(file.path)
                other = names.get(sha256)
                _add_wrong(
                    result, file, f"has the content of {other}" if other else "has other content (SHA-256 differs)"
                )

    if to_read:
        hash_files(to_read, on_read, on_done, cancelled)


def _ignore_read(_path: Path, _count: int) -> None:
    """Do nothing: the default of `on_read`."""


def _add_wrong(result: Inventory, file: LockedFile, problem: str) -> None:
    result.wrong.append(file)
    result.problems[file.path] = problem


def _has_content(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _unreadable(error: OSError) -> None:
    """A missing folder is empty, but an unreadable one may contain anything."""
    if not isinstance(error, FileNotFoundError):
        raise InputError(f"Folder {error.filename}", os_reason(error), "check its permissions") from error


def find_extra(folder: Path, lock: Lock) -> list[str]:
    """The files in the managed folders that are not the lock's. Raises InputError for a folder that cannot be read."""
    locked_paths = {*lock.by_path(), *generated_files(lock)}
    extra = []
    for managed in MANAGED_FOLDERS:
        for root, folders, names in os.walk(folder / managed, onerror=_unreadable):
            base = Path(root).relative_to(folder).as_posix()
            links = [name for name in folders if os.path.islink(f"{root}/{name}")]  # os.walk does not follow them
            extra += [path for name in [*names, *links] if (path := f"{base}/{name}") not in locked_paths]
    return sorted(extra)
