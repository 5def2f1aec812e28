"""A folder of this machine as object storage: files are objects, and their relative paths the keys.

No link is followed, so that nothing outside of the folder can be read, written or removed over it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote_from_bytes, unquote_to_bytes

from core.errors import InputError, XaivaError, os_reason
from core.files import CHUNK_BYTES, TEMPORARY_PREFIX, describe_irregular_file, disk_error, replace_atomically
from core.inference.storage.folder_listing import UPLOAD_PREFIX, list_folder, object_info, remove_uploads
from core.inference.storage.model import (
    KeyConflict,
    NameFinding,
    NoObject,
    ObjectInfo,
    ObjectList,
    StorageDown,
    StorageRefused,
)
from core.inference.storage.names import shown_key, why_unusable
from core.inference.storage.signed_urls import UrlSigner
from core.inference.storage.written import disk_errors, write_all

_DOWN = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENODEV, errno.ENXIO)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_MODE = 0o644
_RETRIES = 4


class Folder:
    """`ObjectStorage` over a folder. With `create`, the folder is made when it is first needed."""

    def __init__(self, root: Path, signer: UrlSigner, *, create: bool = False) -> None:
        self.root = root
        self._signer = signer
        self._create = create

    @property
    def shown(self) -> str:
        return f"folder {self.root}"

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo | NameFinding]:
        with self._errors(f"Listing {shown_key(prefix) or 'all objects'}"), self._open_root() as root:
            yield from (entry for _, entry in list_folder(root, prefix) if entry)

    def list_page(self, prefix: str = "", *, cursor: str = "", limit: int = 1000, level: bool = False) -> ObjectList:
        page = ObjectList([], [])
        last, after = "", os.fsdecode(unquote_to_bytes(cursor))
        with self._errors(f"Listing {shown_key(prefix) or 'all objects'}"), self._open_root() as root:
            for key, entry in list_folder(root, prefix, after=after, level=level):
                if len(page.entries) + len(page.folders) == limit:
                    return ObjectList(page.entries, page.folders, quote_from_bytes(os.fsencode(last), safe=""))
                if entry:
                    page.entries.append(entry)
                else:
                    page.folders.append(key)
                last = key
        return page

    def create_folder(self, prefix: str) -> None:
        key = prefix.rstrip("/")
        with self._errors(_what(key)), self._open_parent(f"{key}/x", create=True):
            pass

    def upload_file(self, key: str, source: Path) -> ObjectInfo:
        with _open_source(source) as file, self._errors(_what(key)):
            for _ in range(_RETRIES):
                with contextlib.suppress(FileNotFoundError):  # the folder was empty, and removed meanwhile
                    return self._store(key, file)
            return self._store(key, file)

    def _store(self, key: str, file: BinaryIO) -> ObjectInfo:
        file.seek(0)
        temporary = f"{UPLOAD_PREFIX}{secrets.token_hex(8)}"
        with self._open_parent(key, create=True) as (folder, name):
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE, dir_fd=folder)
            try:
                with os.fdopen(handle, "wb") as part:
                    shutil.copyfileobj(file, part, CHUNK_BYTES)
                    part.flush()
                    os.fsync(part.fileno())
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            with contextlib.suppress(OSError):  # some file systems cannot fsync a folder
                os.fsync(folder)
            return object_info(key, os.stat(name, dir_fd=folder, follow_symlinks=False))

    def download_file(self, key: str, target: Path) -> ObjectInfo:
        with disk_errors(target), replace_atomically(target) as part:
            return self._copy(key, part, lambda _count: None)

    def stat_object(self, key: str) -> ObjectInfo:
        file, info = self.open_local(key)
        file.close()
        return info

    async def fetch_object(self, info: ObjectInfo, part: BinaryIO, count: Callable[[int], None]) -> ObjectInfo:
        return self._copy(info.key, part, count)

    def delete_file(self, key: str) -> None:
        try:
            if key.endswith("/"):
                with self._errors(_what(key)), self._open_parent(f"{key}x") as (folder, _):
                    remove_uploads(folder)
            with self._errors(_what(key)), self._open_parent(key.rstrip("/")) as (folder, name):
                if key.endswith("/"):
                    os.rmdir(name, dir_fd=folder)
                else:
                    os.unlink(name, dir_fd=folder)
            self._remove_empty_parents(key.rstrip("/"))
        except NoObject:
            return

    def get_url(self, key: str, expires: timedelta) -> str:
        _check(key)
        return self._signer.url(key, expires)

    def is_signed(self, key: str, until: int, signature: str) -> bool:
        """Whether `get_url` made this address, and it has not expired."""
        return self._signer.is_valid(key, until, signature)

    def local_path(self, key: str) -> Path | None:
        return self.root / key

    def open_local(self, key: str) -> tuple[BinaryIO, ObjectInfo]:
        with self._errors(_what(key)), self._open_parent(key) as (folder, name):
            handle = os.open(name, _READ, dir_fd=folder)
            try:
                status = os.fstat(handle)
                if not stat.S_ISREG(status.st_mode):
                    raise NoObject(_what(key), f"it is {describe_irregular_file(status.st_mode)}, not a file")
                return os.fdopen(handle, "rb", buffering=0), object_info(key, status)
            except BaseException:
                os.close(handle)
                raise

    def _copy(self, key: str, part: BinaryIO, count: Callable[[int], None]) -> ObjectInfo:
        file, info = self.open_local(key)
        size = 0  # of what is read: a program may be writing the file
        with file, self._errors(_what(key)):
            while chunk := file.read(CHUNK_BYTES):
                with disk_errors(Path(str(part.name))):
                    write_all(part, chunk)
                size += len(chunk)
                count(len(chunk))
        return replace(info, size=size)

    @contextlib.contextmanager
    def _open_root(self) -> Iterator[int]:
        if self._create:
            self.root.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            why = f"the folder {self.root} is not there"
            raise StorageDown("Object storage", why, "check that its disk or share is mounted") from None
        try:
            yield handle
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _open_parent(self, key: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder of the object, and the object's name in it. Raises InputError for an unusable key."""
        _check(key)
        *folders, name = key.split("/")
        with contextlib.ExitStack() as opened:
            handle = opened.enter_context(self._open_root())
            for folder in folders:
                if create:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=handle)
                handle = os.open(folder, _FOLDER, dir_fd=handle)
                opened.callback(os.close, handle)
            yield handle, name

    def _remove_empty_parents(self, key: str) -> None:
        *folders, _ = key.split("/")
        while folders:
            try:
                with self._open_parent("/".join(folders)) as (folder, name):
                    os.rmdir(name, dir_fd=folder)
            except OSError:
                return  # it is not empty
            folders.pop()

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._explain(what, error) from error

    def _explain(self, what: str, error: OSError) -> XaivaError:
        if error.errno == errno.ENOENT:
            return NoObject(what, f"there is no such object in {self.shown}")
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EEXIST):
            why = f"{self.shown}: a file, a folder or a link of this name is in the way"
            return KeyConflict(what, why, "a folder cannot hold a/b beside a file a, and links are not followed")
        if error.errno == errno.ENAMETOOLONG:
            return InputError(what, f"{self.shown}: a part of its name is too long for the file system")
        if error.errno == errno.ENOTEMPTY:
            return KeyConflict(what, f"{self.shown}: the folder is not empty", "delete its objects first")
        why = f"{self.shown}: {_place_in_folder(error)}{os_reason(error)}"
        if error.errno in _DOWN:
            return StorageDown(what, why, "check its disk, or the server of its share")
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "mount it writable" if error.errno == errno.EROFS else "change its owner or its permissions"
            return StorageRefused(what, why, remedy)
        return disk_error(error, self.root) or XaivaError(what, why)


def _place_in_folder(error: OSError) -> str:
    """The file or folder inside that the error is about, if the system names one."""
    name = error.filename
    if not isinstance(name, str) or name.startswith(("/", TEMPORARY_PREFIX)):
        return ""
    return f"{shown_key(name)}: "


@contextlib.contextmanager
def _open_source(source: Path) -> Iterator[BinaryIO]:
    try:
        file = open(source, "rb")  # noqa: SIM115
    except OSError as error:
        raise InputError(f"File {source}", os_reason(error)) from None
    with file:
        yield file


def _check(key: str) -> None:
    """Raise InputError for a key that cannot be used, or that a listing leaves out."""
    why = why_unusable(key)
    if not why and any(name.startswith(TEMPORARY_PREFIX) for name in key.split("/")):
        why = f"a part of its name begins with {TEMPORARY_PREFIX}, as those of uploads under way"
    if why:
        raise InputError(_what(key), why, "give it another name")


def _what(key: str) -> str:
    return f"Object {shown_key(key)}"
