"""A medium, or any folder, as the target of a shipment: nothing that has a final name is ever short.

All paths are used relative to the opened folder. When the medium is pulled out, its mount point turns into an empty
folder of this machine's disk; the opened folder does not, so that nothing is ever written there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from typing_extensions import Self

from core.carry.durable import DurableWrites
from core.carry.hashed_copy import (
    DIRECT_UNIT,
    Both,
    Digest,
    HashedCopy,
    hash_start,
    set_direct,
    source_name,
    write_all,
    wrong_source,
)
from core.carry.medium_errors import MediumGone, explain_medium_error, read_only_error
from core.carry.medium_info import MediumInfo, describe_medium, free_bytes
from core.carry.read_back import read_back
from core.carry.shipment import BLOBS, PART_BYTES, SHIPMENTS, Blob, Content, blob_path, is_shipment_id
from core.carry.stream_parts import put_parts
from core.carry.target import GOES_ON, UNFINISHED, OnBytes, OpenAt, ReadBack, Source, require_plain_path
from core.errors import XaivaError, os_reason
from core.files import describe_irregular_file

_STREAM = f"{BLOBS}/stream"  # a blob whose name is not known yet, because it is its hash
_PROBE = "xaiva-probe"
_DIRECT_BYTES = 4 << 20  # from this length on, writes go around memory: faster, because nothing is copied into it first
_CANNOT_APPEND = ("fuse.fusefat",)  # fusefat 0.1a writes what is appended over the file's start
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # the medium may hold links and pipes of others


@dataclass(frozen=True)
class _Writing:
    """A file that is to be on the medium, and where its bytes come from."""

    path: str
    size: int
    sha256: str
    open_at: OpenAt
    on_durable: OnBytes


class Medium:
    """A folder that holds shipments. See `Target` for what its methods do."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self.info: MediumInfo = describe_medium(folder)
        try:
            self._root = os.open(folder, _FOLDER_FLAGS)
        except OSError as error:
            raise explain_medium_error(error, f"{folder}", "", None) from error
        self._identity = _identity(os.fstat(self._root))
        self._folders: set[str] = set()  # that are there, and are no links
        self._copier = HashedCopy()
        self._writes = DurableWrites(self._root, self.info.mount)

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"{self.path}"

    @property
    def summary(self) -> str:
        """What it is, in words: file system, mount point, device."""
        return self.info.summary

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what it holds. Until then the medium cannot be unmounted."""
        self._writes.close()
        self._copier.close()
        os.close(self._root)

    def require_writable(self) -> None:
        """Raise XaivaError when nothing can be written there; leaves nothing behind."""
        if os.fstatvfs(self._root).f_flag & os.ST_RDONLY:
            raise read_only_error(self.name)
        self.write_small(_PROBE, b"x")
        self.remove([_PROBE])

    def free_bytes(self) -> int | None:
        """How much still fits; None when its file system does not say."""
        with self._explained(""):
            return free_bytes(os.fstatvfs(self._root))

    def names(self) -> dict[str, int]:
        """The size of every file in `blobs/` and `shipments/`; unfinished ones end with `.new`."""
        sizes: dict[str, int] = {}
        for top in (BLOBS.partition("/")[0], SHIPMENTS):
            with self._explained(top):
                self._list(top, sizes)
        return sizes

    def _list(self, folder: str, sizes: dict[str, int]) -> None:
        try:
            handle = os.open(folder, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=self._root)
        except (FileNotFoundError, NotADirectoryError):
            return  # nothing there, or something that is not ours
        except OSError as error:
            if error.errno == errno.ELOOP:
                return
            raise
        try:
            with os.scandir(handle) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        self._list(f"{folder}/{entry.name}", sizes)
                    elif entry.is_file(follow_symlinks=False):
                        sizes[f"{folder}/{entry.name}"] = entry.stat(follow_symlinks=False).st_size
        finally:
            os.close(handle)

    def put(self, path: str, size: int, sha256: str, open_at: OpenAt, on_durable: OnBytes) -> None:
        """Write `<path>.new`, going on inside what is there of it."""
        file = _Writing(require_plain_path(path), size, sha256, open_at, on_durable)
        with self._explained(path):
            self._require_mounted()
            if not self._resume(file):
                self._write(file)

    def _resume(self, file: _Writing) -> bool:
        """Go on inside an unfinished file. False when there is none, or it is of another content, or damaged."""
        digest, start = self._read_start(file)
        if not start or (start < file.size and self.info.mount.kind in _CANNOT_APPEND):
            return False
        copied, handle = 0, os.open(file.path + UNFINISHED, os.O_WRONLY | _FILE_FLAGS, dir_fd=self._root)
        try:
            if start < file.size:
                os.lseek(handle, start, os.SEEK_SET)
                copied, _ = self._copy(file, handle, start, digest)
            fits = start + copied == file.size and digest.hexdigest() == file.sha256
            self._writes.add(file.path, handle, start if fits else -copied, file.on_durable)
        finally:
            os.close(handle)
        return fits

    def _read_start(self, file: _Writing) -> tuple[hashlib._Hash, int]:
        """The hash and the length of the start; 0 when there is none."""
        try:
            handle = os.open(file.path + UNFINISHED, os.O_RDONLY | _FILE_FLAGS, dir_fd=self._root)
        except FileNotFoundError:
            return hashlib.sha256(), 0
        try:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode) or state.st_size > file.size:
                return hashlib.sha256(), 0
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)  # memory may hold a better content than the medium
            return hash_start(handle, state.st_size), state.st_size
        finally:
            os.close(handle)

    def _write(self, file: _Writing) -> None:
        digest = hashlib.sha256()
        with self._new_file(file.path + UNFINISHED) as handle:
            copied, name = self._copy(file, handle, 0, digest)
        if copied != file.size or digest.hexdigest() != file.sha256:
            self.remove([file.path + UNFINISHED])
            raise wrong_source(name, file.sha256, digest.hexdigest(), file.size, copied)

    def _copy(self, file: _Writing, handle: int, offset: int, digest: Digest) -> tuple[int, str]:
        """How many bytes the source had, and its name."""
        try:
            source = file.open_at(offset)
        except OSError as error:
            raise XaivaError(f"{error.filename or file.path} cannot be read", os_reason(error)) from error
        name, length = source_name(source, file.path), file.size - offset
        set_direct(handle, length >= _DIRECT_BYTES and offset % DIRECT_UNIT == 0)
        with contextlib.closing(source):
            wrote = self._writer(file.path, handle, file.on_durable)
            return self._copier.copy(source, name, length, digest, handle, wrote), name

    def _writer(self, path: str, handle: int, on_durable: OnBytes) -> OnBytes:
        self._writes.add(path, handle, 0, on_durable)  # also an empty file has to be made durable
        return lambda count: self._writes.add(path, handle, count, on_durable)

    def put_stream(self, sha256: str | None, source: Source, on_durable: OnBytes) -> Content:
        """Write what can be read only once as blobs `….new` of a part each; the result names them."""
        name = source_name(source, sha256 or "the stream")
        return put_parts(
            sha256, name, PART_BYTES, lambda whole: self._put_part(source, name, whole, on_durable), self.remove
        )

    def _put_part(self, source: Source, name: str, whole: Digest, on_durable: OnBytes) -> Blob:
        part = hashlib.sha256()
        with self._explained(_STREAM), self._new_file(_STREAM + UNFINISHED) as handle:
            set_direct(handle, True)
            wrote = self._writer(_STREAM, handle, on_durable)
            digest = Both(whole, part)
            size = self._copier.copy(source, name, PART_BYTES, digest, handle, wrote)
            path = blob_path(part.hexdigest())
            self._make_folders(path)
            self._rename(_STREAM + UNFINISHED, path + UNFINISHED)
        return Blob(sha256=part.hexdigest(), size=size)

    def flush(self) -> None:
        """Make everything durable that was put, and report it."""
        with self._explained(""):
            self._writes.flush()

    def check(self, blobs: Mapping[str, tuple[str, int]], on_read: OnBytes, cancelled: Callable[[], bool]) -> ReadBack:
        """Read files (path → SHA-256 and size; also `….new`) back and compare. Raises Cancelled."""
        self.sync()
        with self._explained(""):
            return read_back(self._root, self.info.mount, blobs, on_read, cancelled)

    def finish(self, paths: Iterable[str]) -> None:
        """Give complete files their final names, durably. Those that have them already stay."""
        self.sync()
        path = ""
        for path in paths:
            with self._explained(path):
                self._finish(path)
        self._sync_names(path)

    def _finish(self, path: str) -> None:
        try:
            self._rename(path + UNFINISHED, path)
        except FileNotFoundError as error:
            if self._is_there(path):
                return  # an interrupted run has done it
            why = f"{path}{UNFINISHED} is not there: another program has removed it"
            raise XaivaError(f"{path} on {self.name} cannot be finished", why, GOES_ON) from error

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files that may be there, and the folders of shipments that are empty, also those of a cut-off pack."""
        for path in paths:
            with self._explained(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(require_plain_path(path), dir_fd=self._root)
        with contextlib.suppress(OSError):  # no shipments are there, or something that is not ours
            for folder in self._empty_shipments():
                os.rmdir(folder, dir_fd=self._root)
                self._folders.discard(folder)
        self.sync()

    def _empty_shipments(self) -> list[str]:
        handle = os.open(SHIPMENTS, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=self._root)
        try:
            return [f"{SHIPMENTS}/{name}" for name in os.listdir(handle) if _is_empty_shipment(name, handle)]
        finally:
            os.close(handle)

    def write_small(self, path: str, data: bytes) -> None:
        """Write a whole small file in one step, durably."""
        new = require_plain_path(path) + UNFINISHED
        with self._explained(path):
            self._require_mounted()
            with self._new_file(new) as handle:
                write_all(handle, data)
                self._writes.sync(handle)
            self._rename(new, path)
        self._sync_names(path)

    def read_small(self, path: str, limit: int) -> bytes | None:
        """The content of a file of at most `limit` bytes; None when there is none."""
        with self._explained(path):
            try:
                handle = os.open(require_plain_path(path), os.O_RDONLY | _FILE_FLAGS, dir_fd=self._root)
            except (FileNotFoundError, NotADirectoryError):
                return None
            with os.fdopen(handle, "rb") as file:
                if kind := describe_irregular_file(os.fstat(handle).st_mode):
                    raise XaivaError(f"{path} on {self.name} cannot be used", f"it is {kind}, not a file")
                data = file.read(limit + 1)
        if len(data) > limit:
            raise XaivaError(f"{path} on {self.name} cannot be used", f"it is longer than {limit} bytes")
        return data

    def sync(self) -> None:
        """Make everything durable; after it the medium may be pulled out."""
        with self._explained(""):
            self._writes.sync()

    def _sync_names(self, path: str) -> None:
        """Make renames durable; behind FUSE only a file reaches the program for sure."""
        with self._explained(path):
            if not path:
                return self._writes.sync()
            handle = os.open(path, os.O_RDONLY | _FILE_FLAGS, dir_fd=self._root)
            try:
                self._writes.sync(handle)
            finally:
                os.close(handle)

    @contextlib.contextmanager
    def _new_file(self, path: str) -> Iterator[int]:
        """A file that was not there; fusefat cannot write to one that was emptied."""
        self._make_folders(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE_FLAGS
        try:
            handle = os.open(path, flags, 0o666, dir_fd=self._root)
        except FileExistsError:
            os.unlink(path, dir_fd=self._root)
            handle = os.open(path, flags, 0o666, dir_fd=self._root)
        try:
            yield handle
        finally:
            os.close(handle)

    def _make_folders(self, path: str) -> None:
        """Make the folders above a file. A link among them is refused: it may lead off the medium."""
        if path.rpartition("/")[0] in self._folders:
            return
        for folder in reversed([f"{parent}" for parent in PurePosixPath(path).parents][:-1]):
            if folder not in self._folders:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=self._root)
                os.close(os.open(folder, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=self._root))
                self._folders.add(folder)

    def _rename(self, path: str, new_path: str) -> None:
        os.replace(path, new_path, src_dir_fd=self._root, dst_dir_fd=self._root)

    def _is_there(self, path: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            os.stat(path, dir_fd=self._root, follow_symlinks=False)
            return True
        return False

    def _require_mounted(self) -> None:
        if not self._is_mounted():
            why = "it is mounted no longer: it was pulled out, or unmounted"
            raise MediumGone(f"Medium {self.name} is gone", why, f"plug it in and mount it, then {GOES_ON}")

    def _is_mounted(self) -> bool:
        try:
            return _identity(os.stat(self.path)) == self._identity
        except FileNotFoundError:
            return False  # udisks removes the folder of a medium that is pulled out

    @contextlib.contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                self._require_mounted()
            free: int | None = None
            with contextlib.suppress(OSError):
                free = free_bytes(os.fstatvfs(self._root))
            raise explain_medium_error(error, self.name, path, free) from error


def _is_empty_shipment(name: str, shipments: int) -> bool:
    """Whether the folder of that name in `shipments` is a shipment's, and empty."""
    if not is_shipment_id(name):
        return False
    try:
        handle = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=shipments)
    except OSError:
        return False  # no folder
    try:
        return not os.listdir(handle)
    finally:
        os.close(handle)


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino
