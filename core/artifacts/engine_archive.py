"""Reads long answers of the engine so that a cancellation never waits, and takes the archive of `docker save` apart."""

from __future__ import annotations

import io
import json
import queue
import tarfile
import threading
from collections.abc import Callable, Iterable
from typing import IO, Any

from core.engine import SLOW_REMEDY, EngineError, engine_errors
from core.errors import XaivaError
from core.files import CHUNK_BYTES
from core.progress import Progress, stop_if_cancelled

POLL_SECONDS = 0.2


class EngineReader(io.RawIOBase):
    """The engine's chunks as a readable file. A thread waits for the engine, so that cancelling never does."""

    def __init__(self, what: str, start: Callable[[], Iterable[bytes]], progress: Progress) -> None:
        self._what = what
        self._progress = progress
        self._rest = b""
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=8)
        self._ended = threading.Event()
        threading.Thread(target=self._pump, args=(start,), daemon=True).start()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            stop_if_cancelled(self._progress)
            try:
                data = self._queue.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(data, BaseException):
                raise data
            if data is None:
                self._queue.put(None)
                return 0
            self._rest = data
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        self._ended.set()
        super().close()

    def _pump(self, start: Callable[[], Iterable[bytes]]) -> None:
        try:
            with engine_errors(self._what):
                for data in start():
                    self._put(data)
                    if self._ended.is_set():
                        return
            self._put(None)
        except BaseException as error:  # `readinto` raises it
            self._put(error)

    def _put(self, item: bytes | BaseException | None) -> None:
        while not self._ended.is_set():
            try:
                self._queue.put(item, timeout=POLL_SECONDS)
                return
            except queue.Full:
                continue


def read_saved_image(
    what: str, stream: EngineReader, write: Callable[[str, int, IO[bytes]], str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Give every file of a saved archive to `write`: its name, its size and its bytes; it returns the SHA-256.

    Returns the archive's `manifest.json`, and name in the archive → SHA-256. Raises EngineError, XaivaError.
    """
    listing: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    links: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=io.BufferedReader(stream, CHUNK_BYTES), mode="r|") as tar:
            for member in tar:
                if member.issym() or member.islnk():  # engines before 25 link a layer that occurs twice
                    links[member.name] = _link_target(member)
                    continue
                if not member.isfile():
                    continue
                source = tar.extractfile(member)
                assert source is not None
                if member.name == "manifest.json":
                    listing = json.loads(source.read())
                else:
                    names[member.name] = write(member.name, member.size, source)
    except tarfile.TarError as error:
        raise EngineError(what, f"the engine's response ended early ({error})", SLOW_REMEDY) from error
    for name, target in links.items():
        if target in names:
            names[name] = names[target]
    if not listing:
        raise XaivaError(
            "The engine's response to docker save", "it has no manifest.json", "use Docker Engine 20 or newer"
        )
    return listing, names


def saved_digest(name: str, names: dict[str, str]) -> str:
    """The digest of a file of the archive. Raises XaivaError when the archive lacks it."""
    try:
        return names[name]
    except KeyError as error:
        raise XaivaError("The engine's response to docker save", f"it lacks {name}", "try again") from error


def _link_target(member: tarfile.TarInfo) -> str:
    if member.islnk():
        return member.linkname
    parts: list[str] = member.name.split("/")[:-1]
    for part in member.linkname.split("/"):
        if part == "..":
            parts = parts[:-1]
        else:
            parts.append(part)
    return "/".join(parts)
