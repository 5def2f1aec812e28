"""Lists a folder in the order of keys, without following a link, and removes what killed uploads left in it."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from datetime import datetime, timezone

from core.files import TEMPORARY_PREFIX, describe_irregular_file
from core.inference.storage.model import NameFinding, ObjectInfo
from core.inference.storage.names import shown_key, why_unusable

Listed = tuple[str, ObjectInfo | NameFinding | None]
"""A key as the file system has it, and what it is; None: a folder."""

UPLOAD_PREFIX = f"{TEMPORARY_PREFIX}upload-"  # of a file until it has come whole and gets its name
LEFTOVER_SECONDS = 3600.0  # locks would tell sooner, but not every share has them
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def list_folder(root: int, prefix: str, *, after: str = "", level: bool = False) -> Iterator[Listed]:
    """Objects and findings below the prefix of an open folder, and with `level` also folders, as keys with `/`.

    Only what comes behind `after` is returned. Raises OSError: a folder that cannot be read is not an empty one.
    """
    if "/" in prefix and why_unusable(prefix.rstrip("/")):
        return
    above, _, _ = prefix.rpartition("/")
    try:
        handle = _open_below(root, above)
    except (FileNotFoundError, NotADirectoryError):
        return
    opened = [(handle, f"{above}/" if above else "", _names(handle))]  # each folder lies in the one before it
    try:
        while opened:
            handle, base, names = opened[-1]
            name = next(names, None)
            if name is None:
                opened.pop()
                os.close(handle)
                continue
            key = base + name
            if name.startswith(UPLOAD_PREFIX):
                _remove_leftover(handle, name)
            if not key.startswith(prefix) or name.startswith(TEMPORARY_PREFIX):
                continue
            if key.endswith("/") and not level and not why_unusable(key[:-1]):
                if (key > after or after.startswith(key)) and (deeper := _open(handle, name, key)) is not None:
                    opened.append((deeper, key, _names(deeper)))
            elif key > after and (found := _read(handle, name, key)):
                yield found
    finally:
        for handle, _, _ in opened:
            os.close(handle)


def remove_uploads(folder: int) -> None:
    """Remove the files of uploads to an open folder; one that goes on starts again. Raises OSError."""
    for name in os.listdir(folder):
        if name.startswith(UPLOAD_PREFIX):
            with contextlib.suppress(FileNotFoundError):  # it has just come whole
                os.unlink(name, dir_fd=folder)


def _remove_leftover(folder: int, name: str) -> None:
    """Remove the file of an upload that was killed: nothing was written to it for long."""
    with contextlib.suppress(OSError):  # such as that of a folder which may only be read
        if time.time() - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > LEFTOVER_SECONDS:
            os.unlink(name, dir_fd=folder)


def _open_below(root: int, folder: str) -> int:
    handle = os.dup(root)
    for name in filter(None, folder.split("/")):
        try:
            deeper = os.open(name, _OPEN, dir_fd=handle)
        finally:
            os.close(handle)
        handle = deeper
    return handle


def _open(handle: int, name: str, key: str) -> int | None:
    """A folder in an open one; None when it was removed meanwhile. Raises OSError that names the whole key."""
    try:
        return os.open(name.rstrip("/"), _OPEN, dir_fd=handle)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OSError(error.errno, error.strerror, key) from error


def _names(handle: int) -> Iterator[str]:
    """The names in an open folder in the order of keys; those of folders end with `/`."""
    with os.scandir(handle) as entries:
        found = sorted(entry.name + ("/" if entry.is_dir(follow_symlinks=False) else "") for entry in entries)
    yield from found


def _read(handle: int, name: str, key: str) -> Listed | None:
    """What one name stands for; None when it was removed meanwhile."""
    if not key.endswith("/"):
        entry = _entry(handle, name, key)
        return (key, entry) if entry else None
    why = why_unusable(key[:-1])
    return key, NameFinding(shown_key(key), why) if why else None


def _entry(handle: int, name: str, key: str) -> ObjectInfo | NameFinding | None:
    try:
        status = os.stat(name, dir_fd=handle, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if why := why_unusable(key):
        return NameFinding(shown_key(key), why)
    if stat.S_ISLNK(status.st_mode):
        return NameFinding(shown_key(key), "it is a link; links are not followed")
    if kind := describe_irregular_file(status.st_mode):
        return NameFinding(shown_key(key), f"it is {kind}, not a file")
    return object_info(key, status)


def object_info(key: str, status: os.stat_result) -> ObjectInfo:
    """What a file is as an object. Its ETag changes whenever the file is written or replaced.

    The time is when it came to this name, as in a bucket. What the file says of itself may be older, if it was copied
    with its time, or lie in the future, if it came from a machine whose clock is wrong.
    """
    etag = f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}"
    return ObjectInfo(key, status.st_size, etag, datetime.fromtimestamp(status.st_ctime, timezone.utc))
