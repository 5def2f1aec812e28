"""The drop folder: pictures that others put there are inspected, and a JSON result is written beside each.

    <folder>/<product>/…/NAME.jpg        the picture; it is never changed or deleted
    <folder>/<product>/…/NAME.jpg.json   its result: the inspection, or the error

The folder may be a share that an FTP server fills: a picture is taken once it has not changed for five
seconds.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from core.api_schema import InspectFolderStatus, Inspection
from core.errors import InputError, XaivaError, os_reason
from core.files import read_regular, read_regular_with_status, replace_atomically, sha256_bytes, write_remedy
from core.inference.inspection.banks import NoBank
from core.inference.inspection.pictures import MAX_BYTES, BadPicture
from core.inference.inspection.products import UnknownProduct

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0  # between two looks at the folder
PAUSE_FACTOR = 5  # the pause is at least this many times as long as a look takes
STABLE_SECONDS = 5.0  # without a change: the picture is complete; NFS shows a change after 3 s or more
EMPTY_SECONDS = 60.0  # an empty file may still be filled for so long
SILENT_SECONDS = 60.0  # a look or an inspection that takes longer: the folder does not answer
STOP_SECONDS = 1.0
NICENESS = 5  # below the cameras
MAX_DEPTH = 8  # folders below the product's
SHOWN = 3  # reasons in the status
RESULT = ".json"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

Signature = tuple[int, int]
"""Size and time of change in nanoseconds."""

MAX_SOURCE = 2000  # bytes: PostgreSQL's indexes take no more than 2704

_OF_THE_WHOLE_FOLDER = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EIO),
    *(errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT),  # of a share whose server is gone
}  # other errors are of one picture or folder


@dataclass(frozen=True)
class DroppedPicture:
    """A picture in the folder as it is now. `place` is its path below the folder."""

    path: Path
    place: str
    size: int
    modified_ns: int

    @property
    def signature(self) -> Signature:
        return self.size, self.modified_ns

    @property
    def source(self) -> str:
        """Names the picture and its content in the database."""
        name = f"{self.place}|{self.size}|{self.modified_ns}"
        return name if len(name.encode()) <= MAX_SOURCE else sha256_bytes(name.encode())

    @property
    def result(self) -> Path:
        """The file of its result."""
        return Path(f"{self.path}{RESULT}")

    @property
    def product(self) -> str:
        """The folder it lies in; empty for a picture outside of all."""
        first, _, rest = self.place.partition("/")
        return unicodedata.normalize("NFC", first) if rest else ""


InspectFile = Callable[[str, bytes, str, str], Inspection]
"""Inspects a picture: product, content, part, source. The same source again gives the inspection that there is.
Raises UnknownProduct, NoBank, BadPicture, or another XaivaError for what may pass."""


class DropFolder:
    """A thread that looks at the folder. Nothing in it blocks anything else."""

    def __init__(self, folder: Path, inspect: InspectFile) -> None:
        self.folder = folder
        self._inspect = inspect
        self._seen: dict[Path, tuple[Signature, float]] = {}  # signature, and since when
        self._done: dict[Path, Signature] = {}  # pictures that are newer than their result, but the same
        self._unwritten: dict[Path, tuple[DroppedPicture, bytes]] = {}  # results, by picture
        self._without_bank: dict[str, str] = {}  # why pictures of a product wait
        self._faults: dict[Path, str] = {}  # why a picture, or all in a folder, cannot be inspected now
        self._logged: dict[Path, Signature] = {}  # pictures whose unexpected error is in the log
        self._ended_a_look: set[Path] = set()  # pictures whose turn comes after the others'
        self._device = 0
        self._status = InspectFolderStatus(state="ok")
        self._moved: float | None = None  # when this look last achieved something; None between two looks
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="drop-folder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)  # a share that hangs is not waited for

    def status(self) -> InspectFolderStatus:
        """What the newest look found."""
        moved = self._moved
        if moved is not None and (silent := time.monotonic() - moved) > SILENT_SECONDS:
            why = f"{self.folder} does not answer for {silent:.0f} s"
            return self._status.model_copy(update={"state": "failing", "why": why})
        return self._status

    def run_once(self) -> int:
        """One look at the folder; returns how many pictures got a result."""
        self._progress()
        self._without_bank, self._faults = {}, {}
        written = 0
        try:
            self._write_results()
            for picture in self._ready():
                if self._stopping.is_set():
                    break
                self._ended_a_look.add(picture.path)  # unless the next line returns
                written += not self._is_blocked(picture) and self._handle(picture)
                self._ended_a_look.remove(picture.path)
        except OSError as error:
            self._tell(f"{_text(str(error.filename or self.folder))}: {os_reason(error)}")
        except XaivaError as error:
            self._tell(error.summary)
        else:
            self._tell()
        finally:
            self._moved = None
        return written

    def _ready(self) -> list[DroppedPicture]:
        """The complete pictures without a result, the oldest first. Raises OSError."""
        waiting = list(self._without_result())
        ready = [picture for picture in waiting if self._is_complete(picture)]
        paths = {picture.path for picture in waiting}
        self._seen = {path: self._seen[path] for path in paths}
        self._logged = {path: logged for path, logged in self._logged.items() if path in paths}
        self._ended_a_look &= paths
        self._set(state="ok", why="", waiting=len(waiting))
        return sorted(ready, key=lambda picture: (picture.path in self._ended_a_look, picture.modified_ns))

    def _tell(self, failure: str = "") -> None:
        """Set the state by what stopped the look, and what keeps pictures waiting."""
        whys = [text for text in (failure, *self._faults.values(), *self._without_bank.values()) if text]
        more = [f"and {len(whys) - SHOWN} more"] if len(whys) > SHOWN else []
        state = "failing" if failure or self._faults else "ok"
        self._set(state=state, why="; ".join(whys[:SHOWN] + more))

    def _is_blocked(self, picture: DroppedPicture) -> bool:
        """Whether it cannot be inspected in this look, or is already and its result waits to be written."""
        return (
            picture.product in self._without_bank
            or picture.path in self._unwritten
            or not self._faults.keys().isdisjoint((picture.path, picture.path.parent))
        )

    def _handle(self, picture: DroppedPicture) -> bool:
        """Inspect a picture and write its result; False when it has to wait.

        Raises OSError, and XaivaError for what may pass, when no other one can be inspected now.
        """
        try:
            result = self._result(picture)
            text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
            content = text.encode()
        except FileNotFoundError:
            return False
        except OSError as error:
            self._note(picture.path, error)
            return False
        except (UnknownProduct, NoBank) as error:  # it waits until there is one
            self._without_bank[picture.product] = error.summary
            return False
        except XaivaError:
            raise
        except Exception as error:
            shown = _text(str(picture.path))
            if self._logged.get(picture.path) != picture.signature:
                logger.exception("%s cannot be inspected", shown)
                self._logged[picture.path] = picture.signature
            self._faults[picture.path] = f"{shown}: an unexpected error ({type(error).__name__}); see the log"
            return False
        self._progress()
        if result is None:
            return False
        count = "failed" if "error" in result else "inspected"
        self._set(**{count: getattr(self._status, count) + 1})
        self._unwritten[picture.path] = picture, content
        if written := self._write_result(picture, content):
            self._set(waiting=max(0, self._status.waiting - 1))
        return written

    def _note(self, path: Path, error: OSError) -> None:
        """Note a fault of a picture or folder. Raises the error when it concerns the whole drop folder."""
        if error.errno in _OF_THE_WHOLE_FOLDER:
            raise error
        self._faults[path] = f"{_text(str(path))}: {os_reason(error)}"

    def _result(self, picture: DroppedPicture) -> dict[str, JsonValue] | None:
        """What is written beside the picture; None while it is being written.

        Raises OSError, also when its result cannot have a name, and XaivaError for what may pass.
        """
        with suppress(FileNotFoundError):
            os.lstat(picture.result)
        head: dict[str, JsonValue] = {"picture": _text(picture.path.name), "size": picture.size}
        head["modified_ns"] = picture.modified_ns
        try:
            if not picture.product:
                why = "it lies outside of all products' folders"
                raise InputError(f"{picture.place}", why, "put it into a folder with the name of its product")
            if picture.size > MAX_BYTES:
                raise BadPicture(f"{picture.place}", f"it is larger than {MAX_BYTES >> 20} MB")
            content, status = read_regular_with_status(picture.path)
            if (len(content), status.st_size, status.st_mtime_ns) != (picture.size, *picture.signature):
                return None
            inspection = self._inspect(picture.product, content, _text(picture.path.stem)[:200], picture.source)
        except UnknownProduct:
            raise
        except InputError as error:
            return {**head, "error": {"what": error.what, "why": error.why, "remedy": error.remedy}}
        return {**head, "inspection": inspection.model_dump(mode="json")}

    def _without_result(self) -> Iterator[DroppedPicture]:
        """Pictures that have no result yet, or changed since. Raises OSError."""
        device = os.stat(self.folder).st_dev
        empty = True
        done: dict[Path, Signature] = {}
        for directory, files in self._folders(self.folder):
            for entry in files.values():
                empty = False
                self._progress()
                if not entry.name.lower().endswith(SUFFIXES) or entry.name.startswith("."):
                    continue
                if (picture := self._picture(directory, entry, files.get(entry.name + RESULT), done)) is not None:
                    yield picture
        if empty and self._device not in (0, device):
            raise OSError(0, "it is empty, and on another disk than before: is it still mounted?", str(self.folder))
        self._device, self._done = device, done

    def _folders(self, folder: Path, depth: int = 0) -> Iterator[tuple[Path, dict[str, os.DirEntry[str]]]]:
        """Each folder with its files by name; links are not followed. Raises OSError."""
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except OSError as error:
            if not depth:
                raise
            if not isinstance(error, FileNotFoundError):  # it vanished
                self._note(folder, error)
            return
        yield folder, {entry.name: entry for entry in found if entry.is_file(follow_symlinks=False)}
        for entry in found:
            if depth <= MAX_DEPTH and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                yield from self._folders(folder / entry.name, depth + 1)

    def _picture(
        self, directory: Path, entry: os.DirEntry[str], result: os.DirEntry[str] | None, done: dict[Path, Signature]
    ) -> DroppedPicture | None:
        """The picture if it needs a result; None if it has one, or vanished."""
        path = directory / entry.name
        try:
            status = entry.stat(follow_symlinks=False)
            place = _text(path.relative_to(self.folder).as_posix())
            picture = DroppedPicture(path, place, status.st_size, status.st_mtime_ns)
            if result is None:
                return picture
            if max(status.st_mtime_ns, status.st_ctime_ns) > result.stat(follow_symlinks=False).st_mtime_ns:
                if picture.signature not in (self._done.get(path), _signature_in(Path(result.path))):
                    return picture
                done[path] = picture.signature
        except FileNotFoundError:
            pass
        except OSError as error:
            self._note(path, error)
        return None

    def _is_complete(self, picture: DroppedPicture) -> bool:
        """Whether it has not changed for long enough."""
        now = time.monotonic()
        signature, since = self._seen.get(picture.path, (None, now))
        if signature != picture.signature:
            self._seen[picture.path] = (picture.signature, now)
            return False
        return now - since >= (STABLE_SECONDS if picture.size else EMPTY_SECONDS)

    def _write_results(self) -> None:
        """Write what could not be written so far. Raises as `_write_result`."""
        for picture, content in list(self._unwritten.values()):
            self._write_result(picture, content)
            self._progress()

    def _write_result(self, picture: DroppedPicture, content: bytes) -> bool:
        """Write a result unless the picture has changed; False when its folder does not take it.

        Raises XaivaError when no folder takes one.
        """
        try:
            if not _has_changed(picture):
                _write(picture.result, content)
        except FileNotFoundError:  # its folder vanished
            pass
        except OSError as error:
            why = f"it cannot be written: {os_reason(error)}; {write_remedy(error)}"
            if error.errno in _OF_THE_WHOLE_FOLDER:
                raise XaivaError(_text(str(picture.result)), why) from error
            self._faults[picture.path.parent] = f"{_text(str(picture.result))}: {why}"
            return False
        del self._unwritten[picture.path]
        return True

    def _set(self, **fields: object) -> None:
        self._status = self._status.model_copy(update=fields)

    def _progress(self) -> None:
        self._moved = time.monotonic()

    def _run(self) -> None:
        with suppress(OSError):
            os.nice(NICENESS)  # on Linux this affects this thread, and those of the models that it loads
        began, why = time.monotonic(), ""
        while not self._stopping.wait(max(PAUSE_SECONDS, PAUSE_FACTOR * (time.monotonic() - began))):
            began = time.monotonic()
            try:
                if self.run_once():
                    began = time.monotonic()  # inspections are no reason to pause
            except Exception as error:
                logger.exception("the drop folder failed")
                self._set(state="failing", why=f"an unexpected error ({type(error).__name__}); see the log")
            if self._status.why and self._status.why != why:
                logger.warning("drop folder: %s", self._status.why)
            why = self._status.why


def _has_changed(picture: DroppedPicture) -> bool:
    """Whether another one is in its place. Raises OSError."""
    with suppress(FileNotFoundError):  # the result of one that was moved away is written nevertheless
        status = os.lstat(picture.path)
        return (status.st_size, status.st_mtime_ns) != picture.signature
    return False


def _signature_in(result: Path) -> Signature | None:
    """The signature of the picture that a result belongs to; None if it is no result."""
    try:
        content = json.loads(read_regular(result))
        return int(content["size"]), int(content["modified_ns"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, content: bytes) -> None:
    try:
        with replace_atomically(path) as file:
            file.write(content)
    except PermissionError:  # a share without permissions
        with replace_atomically(path, None) as file:
            file.write(content)


def _text(name: str) -> str:
    """A file name as text; bytes that are no UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
