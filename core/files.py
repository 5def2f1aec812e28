"""Writes files atomically (temporary file, fsync, rename), reads and hashes them, and explains disk errors."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from core.errors import InputError, XaivaError, os_reason
from core.natural_order import natural_key

CHUNK_BYTES = 1 << 20  # per read; large enough that hashing costs more than the system call
TEMPORARY_PREFIX = ".xaiva-tmp-"  # of every temporary file, so that leftovers of a crash can be found and removed

_IRREGULAR_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_NEW_FILE_MODE = 0o644
_WRITABLE = 0o222
_DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def list_files(folder: Path, suffix: str) -> list[Path]:
    """The files with this suffix in a folder, sorted by name; none when the folder does not exist.

    Raises InputError for a folder that cannot be read and for a dangling link, because neither is an empty folder.
    """
    try:
        paths = [path for path in folder.iterdir() if path.suffix == suffix]
        return sorted(paths, key=lambda path: natural_key(path.stem))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.is_symlink():
            return []
        why = "it leads to nothing" if isinstance(error, FileNotFoundError) else os_reason(error)
        raise InputError(f"Folder {folder}", why, "check the folder, its permissions and its medium") from error


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some file systems (exFAT over FUSE) cannot fsync a folder
    finally:
        os.close(handle)


def sync_file_system(folder: Path) -> None:
    """Make everything that was written to the file system of `folder` durable. Raises OSError."""
    import ctypes  # seldom needed, and slow to import

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(handle)


def write_atomic(path: Path, data: str | bytes, mode: int = 0o644) -> None:
    """Replace `path` by `data` in one step; a reader or a crash sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_atomically(path, mode) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def replace_atomically(path: Path, mode: int | None = 0o644) -> Iterator[BinaryIO]:
    """A new file that replaces `path` in one step when the block ends without an error; otherwise nothing changes.

    With `mode` None it is for its owner alone, and lies on file systems without permissions, such as FAT, too.
    """
    handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def describe_irregular_file(mode: int) -> str:
    """What a path is if it is not a regular file (from its `st_mode`), else empty. Opening such a path may block."""
    if stat.S_ISREG(mode):
        return ""
    return next((name for is_kind, name in _IRREGULAR_KINDS if is_kind(mode)), "something else than a file")


def read_regular(path: Path) -> bytes:
    """The content of a file. Raises OSError, also for anything but a regular file; never blocks on a named pipe."""
    return read_regular_with_status(path)[0]


def read_regular_with_status(path: Path) -> tuple[bytes, os.stat_result]:
    """The content of a file, and its status after it was read. Raises as `read_regular`."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if kind := describe_irregular_file(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
        return file.read(), os.fstat(file.fileno())


def write_target(path: Path) -> tuple[Path, int]:
    """The file to write, with links resolved, and its permissions. Raises XaivaError when it cannot be written."""
    try:
        target = path.resolve(strict=True)
    except FileNotFoundError as error:
        if path.is_symlink():
            why = f"it is a link to {path.readlink()}, which does not exist"
            raise XaivaError(f"{path}", why, "restore its target, or remove the link") from error
        return path, _NEW_FILE_MODE
    state = target.stat()
    if kind := describe_irregular_file(state.st_mode):
        raise XaivaError(f"{path}", f"it is {kind}, not a file", "move it away")
    if not state.st_mode & _WRITABLE or not os.access(target, os.W_OK):
        raise XaivaError(f"{path}", "it is write-protected", f"if it may be changed: chmod u+w {target}")
    return target, state.st_mode & 0o777


def move_into_place(temporary: Path, target: Path) -> None:
    """Replace `target` by a finished temporary file, durably and in one step."""
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, target)
    fsync_folder(target.parent)


def disk_error(error: OSError, path: Path | None = None) -> XaivaError | None:
    """The error for a full or read-only disk or a lack of permission; None for OSErrors of another kind.

    `path` is what was written: a write to an open file that fails does not name it.
    """
    why = (error.strerror or "").lower()
    name = error.filename or path
    if error.errno in _DISK_FULL_ERRORS:
        what = f"No space left for {name}" if name else "No space left"
        return XaivaError(what, why, "make room on that disk, then start it again: it goes on from what is complete")
    if name and error.errno == errno.EROFS:
        return XaivaError(f"{name} cannot be written", why, "mount it writable, or use a site on another disk")
    if name and error.errno in (errno.EACCES, errno.EPERM):
        return XaivaError(f"No access to {name}", why, "change its owner or permissions")
    return None


def write_remedy(error: OSError, make_room: str = "make room on that disk") -> str:
    """The remedy for a file that could not be written, by the cause of the error."""
    if error.errno in _DISK_FULL_ERRORS:
        return make_room
    if error.errno == errno.EROFS:
        return "mount that disk writable"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "change the owner or the permissions of its folder"
    return "see whether its folder is there and may be written to"


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of `data`, lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of the file's content, lower-case hexadecimal."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
