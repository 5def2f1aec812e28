"""Fetches what is new below a prefix into a folder of this machine, several objects at a time."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from core.disk_space import check_space
from core.files import read_regular
from core.inference.storage.downloads import POLL_SECONDS, Downloads
from core.inference.storage.manifest import Manifest
from core.inference.storage.model import NameFinding, ObjectInfo, ObjectStorage
from core.inference.storage.names import local_name
from core.inference.storage.transfer_stage import TransferStage
from core.inference.storage.written import disk_errors
from core.progress import Progress


@dataclass(frozen=True)
class FetchedFile:
    """An object as a file of this machine, which does not change. `fetched`: it was not here before."""

    key: str
    path: Path
    size: int
    etag: str
    modified: datetime | None
    fetched: bool
    storage: ObjectStorage

    def read(self) -> bytes:
        """Its content. Raises OSError if it cannot be read, but StorageDown if nothing can: its folder is gone."""
        try:
            return read_regular(self.path)
        except OSError:
            if self.storage.local_path(self.key) != self.path:
                raise  # it lies on this machine's disk
        self.storage.list_page(limit=1, level=True)
        return read_regular(self.path)


class FetchedFiles(Iterator[FetchedFile | NameFinding]):
    """What a pass yields. Other passes leave its files in place until it is closed or forgotten, not only exhausted."""

    def __init__(
        self, begin: Callable[[contextlib.ExitStack], Generator[FetchedFile | NameFinding, None, None]]
    ) -> None:
        """`begin`: starts the pass, which hands over at its end what must be held until this is closed."""
        self._held = contextlib.ExitStack()
        self._found = begin(self._held)

    def __next__(self) -> FetchedFile | NameFinding:
        return next(self._found)

    def close(self) -> None:
        """Stop the pass if it is under way, and let others remove its files: close it when the last one was read."""
        self._found.close()
        self._held.close()


class Mirror:
    """A folder that holds what was fetched. Several processes may use it at once.

    The objects of a storage that is a folder are not copied: they are read where they lie.
    """

    def __init__(self, storage: ObjectStorage, folder: Path, connections: int = 10) -> None:
        self._storage = storage
        self._folder = folder
        self._connections = connections

    @property
    def storage(self) -> ObjectStorage:
        """Where the objects come from."""
        return self._storage

    def fetch(self, prefix: str, progress: Progress, stage: str, title: str) -> FetchedFiles:
        """Every object below the prefix as a file, in the order in which they are complete; those at hand come first.

        Counts bytes in the stage `stage`. Files of objects that are gone are removed at the end of a complete pass.
        Close the iterator when the last file was read, or to stop early. Raises StorageDown, StorageRefused, Cancelled,
        and XaivaError for a full disk.
        """
        count = TransferStage(progress, stage, title)
        return FetchedFiles(lambda held: self._fetch(prefix, count, held))

    def _fetch(
        self, prefix: str, count: TransferStage, held: contextlib.ExitStack
    ) -> Generator[FetchedFile | NameFinding, None, None]:
        with count:
            found = _listed(self._storage, prefix, count)
            yield from (entry for entry in found if isinstance(entry, NameFinding))
            objects = [entry for entry in found if isinstance(entry, ObjectInfo)]
            if objects and self._storage.local_path(objects[0].key) is not None:
                yield from self._in_place(objects, count)
            else:
                yield from self._mirrored(prefix, objects, count, held)

    def _in_place(self, objects: list[ObjectInfo], count: TransferStage) -> Iterator[FetchedFile]:
        count.begin(0, 0, len(objects))
        for info in objects:
            path = self._storage.local_path(info.key)
            assert path is not None
            count.poll()
            yield FetchedFile(info.key, path, info.size, info.etag, info.modified, fetched=False, storage=self._storage)

    def _mirrored(
        self, prefix: str, objects: list[ObjectInfo], count: TransferStage, held: contextlib.ExitStack
    ) -> Iterator[FetchedFile | NameFinding]:
        manifest = Manifest(self._folder)
        with contextlib.ExitStack() as lock:
            with disk_errors(self._folder):
                lock.enter_context(manifest.open())
            yield from self._pass(prefix, objects, manifest, count)
            held.enter_context(lock.pop_all())

    def _pass(
        self, prefix: str, objects: list[ObjectInfo], manifest: Manifest, count: TransferStage
    ) -> Iterator[FetchedFile | NameFinding]:
        names = {info.key: self._name(info) for info in objects}
        missing = [info for info in objects if not manifest.holds(names[info.key], info.size)]
        size = sum(info.size for info in missing)
        count.begin(size, len(missing), len(objects))
        check_space({self._folder: size}, f"the objects of {self._storage.shown}")
        absent = {info.key for info in missing}
        present = {names[info.key] for info in objects if info.key not in absent}
        for info in objects:
            if info.key not in absent:
                count.poll()
                yield self._file(info, fetched=False)

        def keep(info: ObjectInfo) -> None:
            manifest.add(self._name(info), self._storage.shown, info.key)
            count.complete()

        with Downloads(
            self._storage, self._folder, missing, self._name, count.add, keep, self._connections
        ) as downloads:
            for _ in missing:
                result = downloads.next(count.poll)
                if isinstance(result, ObjectInfo):
                    present.add(self._name(result))
                    yield self._file(result, fetched=True)
                else:
                    yield result
                downloads.taken()
        with disk_errors(self._folder):
            manifest.drop_missing(prefix, present)

    def _name(self, info: ObjectInfo) -> str:
        return local_name(self._storage.shown, info.key, info.etag, info.size, info.modified)

    def _file(self, info: ObjectInfo, *, fetched: bool) -> FetchedFile:
        path = self._folder / self._name(info)
        return FetchedFile(info.key, path, info.size, info.etag, info.modified, fetched, self._storage)


def _listed(storage: ObjectStorage, prefix: str, count: TransferStage) -> list[ObjectInfo | NameFinding]:
    """The whole listing. It is made in a thread, because a server that hangs cannot be interrupted."""
    results: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    entries: list[ObjectInfo | NameFinding] = []
    given_up = threading.Event()

    def list_all() -> None:
        try:
            for entry in storage.list_objects(prefix):
                entries.append(entry)
                if given_up.is_set():
                    return
            results.put(None)
        except BaseException as error:
            results.put(error)

    threading.Thread(target=list_all, name="listing", daemon=True).start()
    try:
        while True:
            try:
                error = results.get(timeout=POLL_SECONDS)
            except queue.Empty:
                count.poll(f"{len(entries)} objects listed")
                continue
            if error is not None:
                raise error
            return entries
    finally:
        given_up.set()
