"""Files on their way into a site: verified in a folder of their own, then moved to their places in one short step.

Until the journal is written the site is as it was. From then on the step is repeated after a crash until it is
complete: by the next unpack, or when the operation is cleaned up.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from core.artifacts.hashing import hash_files
from core.artifacts.lock_store import INCOMING_FOLDER, INCOMING_JOURNAL
from core.carry.opened_shipment import OpenedShipment
from core.carry.shipment import Blob, Content, is_blob_name
from core.errors import XaivaError, os_reason
from core.files import (
    CHUNK_BYTES,
    TEMPORARY_PREFIX,
    disk_error,
    fsync_folder,
    sha256_file,
    sync_file_system,
    write_atomic,
)
from core.site import Site

_PART = ".part"


class Incoming:
    """The folder of one site's incoming files. Only one operation at a time works with it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.folder = site.artifacts / INCOMING_FOLDER  # so that moving a file to its place copies nothing

    def verified(self, cancelled: Callable[[], bool]) -> set[str]:
        """The contents that an earlier unpack left here complete; reads them. Others are removed. Raises Cancelled."""
        complete: set[str] = set()

        def on_done(path: Path, sha256: str, _stat: os.stat_result | None, _error: OSError | None) -> None:
            if sha256 == path.name:
                complete.add(sha256)
            else:
                path.unlink(missing_ok=True)

        if self.folder.is_dir():
            paths = [path for path in self.folder.iterdir() if is_blob_name(path.name)]
            hash_files(paths, lambda _path, _count: None, on_done, cancelled)
        return complete

    def copy(self, shipment: OpenedShipment, content: Content) -> Iterator[int]:
        """Copy a content from the medium, and yield the numbers of bytes on the way.

        A partial copy goes on at the part where it stopped. Raises XaivaError.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{content.sha256}{_PART}"
        for other in self.folder.glob(f"*{_PART}"):
            if other != partial:
                other.unlink()  # of a shipment that is no longer unpacked
        try:
            with open(partial, "r+b" if partial.exists() else "w+b") as file:
                blobs = content.blobs()
                while blobs and _has_blob(file.fileno(), file.tell(), blobs[0]):
                    part = blobs.pop(0)
                    file.seek(part.size, os.SEEK_CUR)
                    yield part.size
                file.truncate()
                for data in shipment.read(blobs):
                    file.write(data)
                    yield len(data)
        except OSError as error:
            raise disk_error(error) or XaivaError(f"{partial}", os_reason(error), "check the site's disk") from error
        if content.parts and sha256_file(partial) != content.sha256:
            partial.unlink()
            raise XaivaError(f"Content {content.sha256}", "its parts do not give its SHA-256", "pack it again")
        os.replace(partial, self.folder / content.sha256)

    def link(self, content: Content, twin: Path) -> bool:
        """Take a content from a file of the site. False when that file turns out to have other bytes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / content.sha256
        try:
            if sha256_file(twin) != content.sha256:
                return False
            link_or_copy(twin, target)
        except OSError:
            return False
        return True

    def move_into_place(self, files: Sequence[tuple[str, Path]]) -> None:
        """Give every (SHA-256, path) its file. After a crash `finish` goes on. Raises XaivaError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        sync_file_system(self.folder)
        entries = [[sha256, path.relative_to(self._site.root).as_posix()] for sha256, path in files]
        write_atomic(self.folder / INCOMING_JOURNAL, json.dumps(entries))
        self.finish()

    def finish(self) -> bool:
        """Complete a move that was begun, and remove the folder. Returns whether there was one. Raises XaivaError."""
        journal = self.folder / INCOMING_JOURNAL
        try:
            entries = json.loads(journal.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            for sha256, name in entries:
                self._place(self.folder / sha256, self._site.root / name)
            for folder in {(self._site.root / name).parent for _, name in entries}:
                fsync_folder(folder)
            journal.unlink()
        except OSError as error:
            raise disk_error(error) or XaivaError(f"{error.filename}", os_reason(error), "unpack again") from error
        shutil.rmtree(self.folder, ignore_errors=True)
        return True

    def remove(self) -> None:
        """Remove what was copied, when nothing of it is needed any more."""
        if not (self.folder / INCOMING_JOURNAL).exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f"{TEMPORARY_PREFIX}{source.name[:16]}"
        temporary.unlink(missing_ok=True)
        link_or_copy(source, temporary)
        os.replace(temporary, target)


def finish_move(site: Site) -> None:
    """Complete the move of an unpack that was killed in it. Raises XaivaError."""
    Incoming(site).finish()


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a file with the same bytes; a link where the file system has links. Raises OSError."""
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        temporary = target.parent / f"{TEMPORARY_PREFIX}{target.name[:40]}.copy"
        with contextlib.ExitStack() as stack:
            stack.callback(temporary.unlink, missing_ok=True)
            shutil.copyfile(source, temporary)
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, target)


def _has_blob(handle: int, offset: int, blob: Blob) -> bool:
    """Whether the bytes of a blob are there."""
    end = offset + blob.size
    if os.fstat(handle).st_size < end:
        return False
    digest = hashlib.sha256()
    while offset < end and (data := os.pread(handle, min(CHUNK_BYTES, end - offset), offset)):
        digest.update(data)
        offset += len(data)
    return digest.hexdigest() == blob.sha256
