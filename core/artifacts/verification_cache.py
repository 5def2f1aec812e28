"""Verification cache: size, times and inode of each verified file, so that a resync does not read it again.

It is in the state of the site (`.xaiva/sync/<preset>.json`), not in the artifacts: it is valid on this disk only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from core.artifacts.lock_store import artifacts_folder, locked_presets
from core.artifacts.lockfile import LockedFile
from core.files import write_atomic
from core.site import Site

FileStamp = tuple[int, int, int, int]


def stamp_of(stat: os.stat_result) -> FileStamp:
    """Size, mtime, ctime and inode. One of them changes with the file's content: nobody can set a ctime back."""
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


class VerificationCache:
    """The stamps of one preset's files whose SHA-256 was right."""

    def __init__(self, site: Site, preset: str) -> None:
        self._path = site.state / "sync" / f"{preset}.json"
        self._stamps: dict[str, tuple[FileStamp, str]] = {}
        self.bytes_per_second = 0.0  # of the last sync that fetched something
        self._saved_text = ""
        self._load()

    def is_verified(self, path: str, stat: os.stat_result, sha256: str) -> bool:
        """Whether the file is unchanged since it was verified to have this SHA-256."""
        return self._stamps.get(path) == (stamp_of(stat), sha256)

    def remember(self, path: str, stat: os.stat_result, sha256: str) -> None:
        """Record that the file with this stat has this SHA-256."""
        self._stamps[path] = (stamp_of(stat), sha256)

    def forget(self, path: str) -> None:
        """Drop the record of a file."""
        self._stamps.pop(path, None)

    def save(self, keep: set[str]) -> None:
        """Write the records of the files in `keep`, if they changed."""
        self._stamps = {path: mark for path, mark in self._stamps.items() if path in keep}
        text = self._text()
        if text != self._saved_text:
            write_atomic(self._path, text)
            self._saved_text = text

    def _text(self) -> str:
        files = {path: [*mark, sha256] for path, (mark, sha256) in sorted(self._stamps.items())}
        return json.dumps({"bytes_per_second": self.bytes_per_second, "files": files})

    def _load(self) -> None:
        try:
            self._saved_text = self._path.read_text()
            data = json.loads(self._saved_text)
            self.bytes_per_second = float(data["bytes_per_second"])
            for path, (size, mtime, ctime, inode, sha256) in data["files"].items():
                self._stamps[path] = ((size, mtime, ctime, inode), sha256)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._stamps = {}  # the files are read again


def share_verification(site: Site, preset: str, files: Sequence[LockedFile]) -> None:
    """Record for the other presets that `files` of this one, just verified, are hard links to theirs.

    A new link changes a file's ctime: otherwise their next sync would read it again.
    """
    inodes = {}
    for file in files:
        stat = os.lstat(file.under(artifacts_folder(site, preset)))
        inodes[stat.st_dev, stat.st_ino] = file.sha256
    for name, lock in locked_presets(site) if inodes else ():
        if name == preset:
            continue
        cache = VerificationCache(site, name)
        for file in lock.files:
            try:
                stat = os.lstat(file.under(artifacts_folder(site, name)))
            except OSError:
                continue
            if inodes.get((stat.st_dev, stat.st_ino)) == file.sha256:
                cache.remember(file.path, stat, file.sha256)
        cache.save({file.path for file in lock.files})
