"""The drop folder: pictures that others put there are inspected, and a JSON result is written beside each.

    <folder>/<product>/…/NAME.jpg        the picture; it is never changed or deleted
    <folder>/<product>/…/NAME.jpg.json   its result: the inspection, or the error

The folder may be a share that an FTP server fills: a picture is taken once it has not changed for a second.
"""

from __future__ import annotations

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
from core.files import read_regular, replace_atomically, write_remedy
from core.inference.inspection.banks import NoBank
from core.inference.inspection.pictures import MAX_BYTES, BadPicture
from core.inference.inspection.products import UnknownProduct

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0  # between two looks at the folder
PAUSE_FACTOR = 5  # the pause is at least this many times as long as a look takes
STABLE_SECONDS = 1.0  # without a change: the picture is complete
EMPTY_SECONDS = 60.0  # an empty file may still be filled for so long
SILENT_SECONDS = 60.0  # a look or an inspection that takes longer: the folder does not answer
STOP_SECONDS = 1.0
NICENESS = 5  # below the cameras
MAX_DEPTH = 8  # folders below the product's
RESULT = ".json"
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True)
class DroppedPicture:
    """A picture in the folder as it is now. `place` is its path below the folder."""

    path: Path
    place: str
    size: int
    modified_ns: int

    @property
    def signature(self) -> tuple[int, int]:
        return self.size, self.modified_ns

    @property
    def source(self) -> str:
        """Names the picture and its content in the database."""
        return f"{self.place}|{self.size}|{self.modified_ns}"

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
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}  # by place: signature, and since when
        self._done: dict[str, tuple[int, int]] = {}  # pictures that are newer than their result, but the same
        self._unwritten: dict[Path, bytes] = {}
        self._device = 0
        self._status = InspectFolderStatus(state="ok")
        self._moved = time.monotonic()  # when something was last achieved
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
        silent = time.monotonic() - self._moved
        if self._thread is not None and silent > SILENT_SECONDS:
            why = f"{self.folder} does not answer for {silent:.0f} s"
            return self._status.model_copy(update={"state": "failing", "why": why})
        return self._status

    def run_once(self) -> int:
        """One look at the folder; returns how many pictures got a result."""
        self._progress()
        try:
            self._write_results()
            waiting = list(self._without_result())
        except OSError as error:
            self._set(state="failing", why=f"{error.filename or self.folder}: {os_reason(error)}")
            return 0
        ready = [picture for picture in waiting if self._is_complete(picture)]
        self._seen = {picture.place: self._seen[picture.place] for picture in waiting}
        self._set(state="ok", why="", waiting=len(waiting))
        written = 0
        blocked: dict[str, str] = {}  # by product
        for picture in sorted(ready, key=lambda picture: picture.modified_ns):
            if self._stopping.is_set():
                break
            if picture.product not in blocked and not self._handle(picture, blocked):
                break
            written += picture.product not in blocked
        if blocked and self._status.state == "ok":
            self._set(why="; ".join(blocked.values()))
        return written

    def _handle(self, picture: DroppedPicture, blocked: dict[str, str]) -> bool:
        """Inspect a picture and write its result; False when no other one can be inspected now."""
        try:
            result = self._result(picture)
        except FileNotFoundError:
            return True
        except OSError as error:
            self._set(state="failing", why=f"{picture.path}: {os_reason(error)}")
            return False
        except (UnknownProduct, NoBank) as error:  # it waits until there is one
            blocked[picture.product] = error.summary
            return True
        except XaivaError as error:
            self._set(state="failing", why=error.summary)
            return False
        self._progress()
        count = "failed" if "error" in result else "inspected"
        self._set(waiting=max(0, self._status.waiting - 1), **{count: getattr(self._status, count) + 1})
        text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
        self._unwritten[Path(f"{picture.path}{RESULT}")] = text.encode()
        try:
            self._write_results()
        except OSError as error:
            why = f"the result of {picture.path} cannot be written: {os_reason(error)}; {write_remedy(error)}"
            self._set(state="failing", why=why)
            return False
        return True

    def _result(self, picture: DroppedPicture) -> dict[str, JsonValue]:
        """What is written beside the picture. Raises OSError, and XaivaError for what may pass."""
        head: dict[str, JsonValue] = {"picture": picture.path.name, "size": picture.size}
        head["modified_ns"] = picture.modified_ns
        try:
            if not picture.product:
                why = "it lies outside of all products' folders"
                raise InputError(f"{picture.place}", why, "put it into a folder with the name of its product")
            if picture.size > MAX_BYTES:
                raise BadPicture(f"{picture.place}", f"it is larger than {MAX_BYTES >> 20} MB")
            content = read_regular(picture.path)
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
        for directory, files in _folders(self.folder):
            for entry in files.values():
                empty = False
                if not entry.name.lower().endswith(SUFFIXES) or entry.name.startswith("."):
                    continue
                if (picture := self._picture(directory, entry, files.get(entry.name + RESULT))) is not None:
                    yield picture
        if empty and self._device not in (0, device):
            raise OSError(0, "it is empty, and on another disk than before: is it still mounted?", str(self.folder))
        self._device = device

    def _picture(
        self, directory: Path, entry: os.DirEntry[str], result: os.DirEntry[str] | None
    ) -> DroppedPicture | None:
        """The picture if it needs a result; None if it has one, or vanished."""
        try:
            status = entry.stat(follow_symlinks=False)
            path = directory / entry.name
            place = _text(path.relative_to(self.folder).as_posix())
            picture = DroppedPicture(path, place, status.st_size, status.st_mtime_ns)
            if self._done.get(place) == picture.signature:
                return None
            if result is None:
                return picture
            if max(status.st_mtime_ns, status.st_ctime_ns) > result.stat(follow_symlinks=False).st_mtime_ns:
                if _signature_in(Path(result.path)) != picture.signature:
                    return picture
                self._done[place] = picture.signature
            return None
        except FileNotFoundError:
            return None

    def _is_complete(self, picture: DroppedPicture) -> bool:
        """Whether it has not changed for long enough."""
        now = time.monotonic()
        signature, since = self._seen.get(picture.place, (None, now))
        if signature != picture.signature:
            self._seen[picture.place] = (picture.signature, now)
            return False
        return now - since >= (STABLE_SECONDS if picture.size else EMPTY_SECONDS)

    def _write_results(self) -> None:
        """Write what could not be written so far. Raises OSError."""
        for path, content in list(self._unwritten.items()):
            if path.parent.is_dir():
                _write(path, content)
            del self._unwritten[path]

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


def _folders(folder: Path, depth: int = 0) -> Iterator[tuple[Path, dict[str, os.DirEntry[str]]]]:
    """Each folder with its files by name; links are not followed. Raises OSError."""
    with os.scandir(folder) as entries:
        found = list(entries)
    yield folder, {entry.name: entry for entry in found if entry.is_file(follow_symlinks=False)}
    for entry in found:
        if depth <= MAX_DEPTH and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
            yield from _folders(folder / entry.name, depth + 1)


def _signature_in(result: Path) -> tuple[int, int] | None:
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
    """A file name as text; bytes that are no UTF-8 become replacement characters."""
    return os.fsencode(name).decode("utf-8", "replace")
