"""Generations: folders that are written whole, published by moving a pointer, and kept so that there is a way back.

    <folder>/000012/…      one generation: its files, and `manifest.json`
    <folder>/current       the pointer: the name of the generation that answers
    <folder>/left.json     which generation the last rollback left, and for which request
    <folder>/lock          held by the process that publishes

The pointer is a file, not a link, because some file systems have no links. A reader reads it once and opens everything
below that folder. Two generations stay: the one that answers, and the good one that answered before it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from core.errors import XaivaError, os_reason
from core.files import TEMPORARY_PREFIX, fsync_folder, replace_atomically, sha256_file, write_remedy

logger = logging.getLogger(__name__)

POINTER = "current"
MANIFEST = "manifest.json"
LEFT = "left.json"
LOCK = "lock"
FORMAT = 1  # of the manifest
ABANDONED_SECONDS = 24 * 3600.0  # after which a writer is gone, where the file system cannot tell

T = TypeVar("T")


class BrokenGeneration(XaivaError):
    """A generation is incomplete or damaged."""


class NoGeneration(XaivaError):
    """Nothing has been published yet."""


class Manifest(BaseModel):
    """What a generation holds. It is written last, so a folder with a manifest is complete."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    number: int
    made: float
    """Unix time."""
    files: dict[str, tuple[int, str]]
    """File name → size in bytes and SHA-256."""
    facts: dict[str, JsonValue]
    """What its kind says about it: counts, the model, thresholds."""


class Left(BaseModel):
    """What a rollback was about to leave. It is written before the pointer moves."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    request: str
    generation: str


class Pointer(NamedTuple):
    """The name of a generation, "" for none, and when that was written, in ns: an emptied folder begins again at 1."""

    name: str
    written: int


@dataclass(frozen=True)
class GenerationFolder:
    """One published generation."""

    path: Path
    manifest: Manifest

    def check(self) -> None:
        """Compare every file with the manifest. Raises BrokenGeneration."""
        for name, (size, digest) in self.manifest.files.items():
            path = self.path / name
            try:
                if path.stat().st_size != size or sha256_file(path) != digest:
                    raise _broken(self.path, f"{name} is not what was written")
            except OSError as error:
                raise _broken(self.path, f"{name}: {os_reason(error)}") from error


class Generations:
    """The generations of one index or memory bank. Any number of processes may read; writers take turns."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def token(self) -> str:
        """What the pointer names now; "" for nothing."""
        return self.pointer().name

    def pointer(self) -> Pointer:
        """The pointer as it is now. Cheap: a reader compares it before each query."""
        try:
            with open(self.folder / POINTER, encoding="ascii", errors="replace") as file:
                return Pointer(file.read().strip(), os.fstat(file.fileno()).st_mtime_ns)
        except OSError:
            return Pointer("", 0)

    def open(self, name: str = "") -> GenerationFolder:
        """The current generation, or the one named. Raises NoGeneration, or BrokenGeneration for a bad manifest."""
        name = name or self.token()
        if not name:
            raise NoGeneration(f"{self.folder.name}", "it has not been built yet")
        if not name.isdecimal():
            raise _broken(self.folder / POINTER, "the pointer is damaged")
        path = self.folder / name
        try:
            manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
        except OSError as error:
            raise _broken(path, f"its manifest cannot be read: {os_reason(error)}") from error
        except ValidationError as error:
            raise _broken(path, "its manifest is damaged") from error
        if manifest.format != FORMAT:
            raise _broken(path, f"it is of format {manifest.format}; this version reads {FORMAT}")
        return GenerationFolder(path, manifest)

    def load(self, read: Callable[[GenerationFolder], T]) -> T:
        """What `read` makes of the current generation, whose files have been checked.

        When the pointer moves meanwhile, and the generation is removed under its reader, the next one is read. Raises
        NoGeneration, BrokenGeneration.
        """
        while True:
            name = self.token()
            try:
                generation = self.open(name)
                generation.check()
                return read(generation)
            except BrokenGeneration:
                if self.token() == name:
                    raise
            except OSError as error:
                if self.token() == name:
                    raise _broken(self.folder / name, f"it cannot be read: {os_reason(error)}") from error

    def names(self) -> list[str]:
        """All generations on disk, newest first."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted((path.name for path in self.folder.iterdir() if path.name.isdecimal()), key=int, reverse=True)
        return []

    def previous(self) -> str:
        """The generation that a rollback would publish; "" for none."""
        return next(iter(self._older(self.token())), "")

    @contextlib.contextmanager
    def write(self) -> Iterator[Path]:
        """A folder for the files of a new generation, without folders in it; `publish` it inside the block, else it is
        removed.

        Raises XaivaError when the folder, or a file that the block writes into it, cannot be written.
        """
        folder = self._temporary()
        handle = -1
        try:
            with self._locked():
                folder.mkdir()
                handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                _lock_now(handle)  # says that its writer lives, until it is closed
            yield folder
        except OSError as error:
            raise self._not_written(error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if handle >= 0:
                os.close(handle)

    def publish(self, written: Path, facts: dict[str, JsonValue]) -> GenerationFolder:
        """Make the files in `written` the current generation, and remove those that are no longer needed.

        Raises XaivaError when the disk does not take it; the generation before then still answers.
        """
        try:
            with self._locked():
                number = max((int(name) for name in self.names()), default=0) + 1
                files = {path.name: (path.stat().st_size, sha256_file(path)) for path in sorted(written.iterdir())}
                manifest = Manifest(number=number, made=time.time(), files=files, facts=facts)
                (written / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n")
                for path in written.iterdir():
                    with open(path, "rb") as file:
                        os.fsync(file.fileno())
                fsync_folder(written)
                target = self.folder / f"{number:06}"
                before = self.token()
                os.rename(written, target)
                try:
                    fsync_folder(self.folder)
                    self._point(target.name)
                except BaseException:
                    if self.token() != target.name:
                        os.rename(target, written)  # which `write` removes
                    raise
                self._remove_old(target.name, before)
        except OSError as error:
            raise self._not_written(error) from error
        return GenerationFolder(target, manifest)

    def roll_back(self, request: str = "") -> GenerationFolder:
        """Make the generation before the current one the current one. Raises NoGeneration, BrokenGeneration.

        A `request` leaves one generation only: when its first attempt was killed after the pointer had moved, the next
        one returns the current generation and changes nothing.
        """
        if not self.token():  # before the lock, which would make a folder for any name
            raise self._no_way_back()
        try:
            with self._locked():
                current = self.token()
                if self.left_by(request) not in ("", current):
                    return self.open(current)
                name = self.previous()
                if not name:
                    raise self._no_way_back()
                generation = self.open(name)
                generation.check()
                with replace_atomically(self.folder / LEFT) as file:
                    file.write(Left(request=request, generation=current).model_dump_json().encode())
                self._point(name)
        except OSError as error:
            raise self._not_written(error) from error
        return generation

    def left_by(self, request: str) -> str:
        """The generation that a rollback for this request has left or was about to leave; "" for none."""
        if not request:
            return ""
        try:
            left = Left.model_validate_json((self.folder / LEFT).read_bytes())
        except (OSError, ValidationError):
            return ""
        return left.generation if left.request == request else ""

    def _older(self, current: str) -> list[str]:
        return [name for name in self.names() if current.isdecimal() and int(name) < int(current)]

    def _temporary(self) -> Path:
        return self.folder / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"

    def _point(self, name: str) -> None:
        with replace_atomically(self.folder / POINTER) as file:
            file.write(f"{name}\n".encode())

    def _remove_old(self, current: str, before: str) -> None:
        """Keep the current generation and the good one that answered before it; remove what killed writers left.

        A generation newer than the one before was rolled back from, or was never published.
        """
        candidates = [before, *self._older(before)] if before else self._older(current)
        way_back = next((name for name in candidates if self._is_good(name)), before)
        try:
            for name in self.names():
                if name not in (current, way_back):
                    os.rename(self.folder / name, self._temporary())  # so that no half of it has its name
            for path in self.folder.glob(f"{TEMPORARY_PREFIX}*"):
                _remove_abandoned(path)
        except OSError as error:
            logger.warning("%s: old generations cannot be removed: %s", self.folder, error)

    def _is_good(self, name: str) -> bool:
        try:
            self.open(name).check()
        except BrokenGeneration:
            return False
        return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _no_way_back(self) -> NoGeneration:
        return NoGeneration(f"{self.folder.name}", "there is no earlier generation to go back to")

    def _not_written(self, error: OSError) -> XaivaError:
        why = f"a new generation cannot be written: {os_reason(error)}"
        return XaivaError(f"{self.folder}", why, write_remedy(error))


def _lock_now(handle: int) -> bool | None:
    """Lock an open folder. False: somebody else holds it. None: this file system cannot lock folders."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno == errno.EWOULDBLOCK else None
    return True


def _remove_abandoned(path: Path) -> None:
    """Remove what a writer left that is gone: nobody holds it, or, where locks do not work, it is old."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            free = _lock_now(handle)
            if free or (free is None and time.time() - path.stat().st_mtime > ABANDONED_SECONDS):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(handle)


def _broken(path: Path, why: str) -> BrokenGeneration:
    return BrokenGeneration(f"{path}", why, "rebuild it")
