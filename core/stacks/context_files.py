"""The files of a build context with their hashes; unchanged ones are not read again."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from core.artifacts.verification_cache import FileStamp, stamp_of
from core.errors import InputError, os_reason
from core.files import describe_irregular_file, sha256_bytes, sha256_file, write_atomic
from core.stacks.dockerignore import read_dockerignore

_SETTLED_SECONDS = 1.0  # a file that changed more recently could change again without a new time


class HashCache:
    """Path → SHA-256 of files that have not changed since; on this disk only, so it lies in the state of the site."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, tuple[FileStamp, str]] = {}
        self._used: dict[str, tuple[FileStamp, str]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):  # the files are read again
            for name, (size, mtime, ctime, inode, digest) in json.loads(path.read_text()).items():
                self._known[name] = ((size, mtime, ctime, inode), digest)

    def digest(self, path: str, status: os.stat_result) -> str:
        """The SHA-256 of a regular file. Raises OSError."""
        stamp = stamp_of(status)
        known = self._known.get(path)
        digest = known[1] if known and known[0] == stamp else sha256_file(Path(path))
        if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_SECONDS:
            self._used[path] = (stamp, digest)
        return digest

    def save(self) -> None:
        """Keep the hashes of the files that were asked for. Without room for them, they are read again."""
        if self._used != self._known:
            content = {name: [*stamp, digest] for name, (stamp, digest) in sorted(self._used.items())}
            with contextlib.suppress(OSError):
                write_atomic(self._path, json.dumps(content))


def context_files(context: Path, dockerfile: Path, cache: HashCache) -> dict[str, str]:
    """Path → hash of every file and link of a context that a build sees; whether it may be executed is part of it.

    Raises InputError for a context or `.dockerignore` that cannot be read.
    """
    try:
        ignore = read_dockerignore(context, dockerfile)
        return {path: _hash_of(entry, cache) for path, entry in ignore.visible_files(context)}
    except ValueError as error:
        raise InputError(f"{context / '.dockerignore'}", str(error), "correct that line") from error
    except OSError as error:
        path = error.filename or context
        raise InputError(f"Build context {path}", os_reason(error), "check the path and its permissions") from error


def _hash_of(entry: os.DirEntry[str], cache: HashCache) -> str:
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        return f"link {sha256_bytes(os.readlink(entry.path).encode(errors='surrogateescape'))}"
    if kind := describe_irregular_file(status.st_mode):
        return kind  # a build leaves it out
    return f"{'executable ' if status.st_mode & stat.S_IXUSR else ''}{cache.digest(entry.path, status)}"


def changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """What happened to the files, as `agent/main.py changed`."""
    lines = []
    for path in sorted({*old, *new}):
        if old.get(path) != new.get(path):
            lines.append(
                f"{path} {'changed' if path in old and path in new else 'is new' if path in new else 'is gone'}"
            )
    return lines
