"""Turns fetched files into vectors: files are read and decoded in threads while earlier ones are embedded."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import Cancelled, os_reason
from core.files import sha256_bytes
from core.findings import Finding
from core.inference.inspection.embeddings import EmbeddingCache, Vector
from core.inference.inspection.encoder import ImageEncoder
from core.inference.inspection.layout import PictureKey, is_ignored
from core.inference.inspection.listed_pictures import ListedPictures
from core.inference.inspection.pictures import MAX_BYTES, BadPicture, decode
from core.inference.inspection.stage_board import StageBoard
from core.inference.models.detector import Picture
from core.inference.storage.fetch import FetchedFile, FetchedFiles
from core.inference.storage.model import NameFinding
from core.progress import Progress, Stage

DECODE, EMBED, FETCH = "decode", "embed", "fetch"
BAD_PICTURE = "bad-picture"  # code of findings
MAX_DECODERS = 8
FILES_AHEAD = 10_000  # names only: so that the total is known early
PICTURES_AHEAD = 4  # batches of decoded pictures
_POLL_SECONDS = 0.1

T = TypeVar("T")


@dataclass(frozen=True)
class EmbeddedPicture:
    """A picture with its vector. `new`: computed in this run."""

    place: PictureKey
    etag: str
    sha256: str
    vector: Vector
    new: bool


@dataclass(frozen=True)
class _Prepared:
    place: PictureKey
    etag: str
    sha256: str
    pixels: Picture


class _Stopped(Exception):
    """Another thread has failed, or the job was cancelled."""


class _Queue(Generic[T]):
    """A bounded queue whose users give up when the flow stops. None ends it."""

    def __init__(self, size: int, stop: threading.Event) -> None:
        self._items: queue.Queue[T | None] = queue.Queue(size)
        self._stop = stop

    def put(self, item: T | None) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._items.put(item, timeout=_POLL_SECONDS)
                return
        raise _Stopped

    def get(self, cancelled: Callable[[], bool] = bool) -> T | None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Empty):
                return self._items.get(timeout=_POLL_SECONDS)
            if cancelled():
                raise Cancelled()
        raise _Stopped


class StoppableProgress:
    """The progress of a job for one of its threads, which also stops when the job fails elsewhere."""

    def __init__(self, progress: Progress, stop: threading.Event) -> None:
        self._progress = progress
        self._stop = stop

    def stage(self, stage: Stage) -> None:
        self._progress.stage(stage)

    def log(self, line: str, stage: str = "") -> None:
        self._progress.log(line, stage)

    def cancelled(self) -> bool:
        return self._stop.is_set() or self._progress.cancelled()


class PictureFlow:
    """One pass over the files below a prefix.

    `parse` gives product and label of a key, None for one outside of the layout. `known` gives the hash of a file that
    an earlier run has read, by key and ETag.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        cache: EmbeddingCache,
        board: StageBoard,
        parse: Callable[[str], PictureKey | None],
        known: Mapping[tuple[str, str], str],
    ) -> None:
        self._encoder = encoder
        self._cache = cache
        self._board = board
        self._parse = parse
        self._known = known
        self._stop = threading.Event()
        self._files: _Queue[tuple[PictureKey, FetchedFile]] = _Queue(FILES_AHEAD, self._stop)
        self._prepared: _Queue[_Prepared] = _Queue(PICTURES_AHEAD * encoder.batch, self._stop)
        self._error: BaseException | None = None
        self._embedded: list[EmbeddedPicture] = []
        self.findings: list[Finding] = []
        self.listed = ListedPictures()
        self.fetched = 0

    def run(self, progress: Progress, fetch: Callable[[Progress], FetchedFiles]) -> list[EmbeddedPicture]:
        """Embed every file that `fetch` gives, in the order of their keys; what cannot be used is in `findings`.

        Raises Cancelled, what `fetch` raises, and XaivaError when the encoder fails.
        """
        decoders = max(1, min(MAX_DECODERS, len(os.sched_getaffinity(0))))
        files = fetch(StoppableProgress(progress, self._stop))
        threads = [threading.Thread(target=self._guard, args=(self._feed, files, decoders), name="fetch", daemon=True)]
        threads += [
            threading.Thread(target=self._guard, args=(self._decode,), name=f"decode-{number}", daemon=True)
            for number in range(decoders)
        ]
        for thread in threads:
            thread.start()
        try:
            self._embed_all(progress, decoders)
        except _Stopped:
            assert self._error is not None
            raise self._error from None
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            files.close()  # nothing is read any more
        self._board.finish(DECODE)
        self._board.finish(EMBED)
        return sorted(self._embedded, key=lambda picture: picture.place.key)

    def _guard(self, work: Callable[..., None], *arguments: object) -> None:
        """The main function of a thread: its first error stops the others."""
        try:
            work(*arguments)
        except _Stopped:
            pass
        except BaseException as error:
            if not self._stop.is_set():
                self._error = error
                self._stop.set()

    def _feed(self, files: FetchedFiles, decoders: int) -> None:
        totals: Counter[str] = Counter()
        while (file := self._next(files)) is not None:
            if is_ignored(file.key):
                continue
            place = self._parse(file.key)
            if isinstance(file, NameFinding):
                self._report(file.key, file.why)
            elif place is None:
                self._report(file.key, "it lies in no folder of a product")
            else:
                self.listed.add(file)
                self.fetched += file.fetched
                totals[place.product] += 1
                self._files.put((place, file))
        for stage in (DECODE, EMBED):
            self._board.expect(stage, totals)
        for _ in range(decoders):
            self._files.put(None)

    def _next(self, files: FetchedFiles) -> FetchedFile | NameFinding | None:
        with self._board.busy(FETCH):
            return next(files, None)

    def _decode(self) -> None:
        while (item := self._files.get()) is not None:
            with self._board.busy(DECODE):
                prepared = self._prepare(*item)
            self._board.add(DECODE, item[0].product)
            if prepared is not None:
                self._prepared.put(prepared)
            else:
                self._board.add(EMBED, item[0].product)
        self._prepared.put(None)

    def _prepare(self, place: PictureKey, file: FetchedFile) -> _Prepared | None:
        """The picture as the encoder needs it; None when its vector is known, or it cannot be used."""
        if self._reuse(place, file, self._known.get((file.key, file.etag), "")):
            return None
        try:
            if file.size > MAX_BYTES:
                raise BadPicture("", f"it has {file.size >> 20} MB, and {MAX_BYTES >> 20} are allowed")
            data = file.read()
            sha256 = sha256_bytes(data)
            if self._reuse(place, file, sha256):
                return None
            pixels = self._encoder.prepare(decode(data, at_least=self._encoder.size))
        except BadPicture as error:
            self._report(file.key, error.why)
        except OSError as error:
            self._report(file.key, f"it cannot be read: {os_reason(error)}")
        else:
            return _Prepared(place, file.etag, sha256, pixels)
        return None

    def _reuse(self, place: PictureKey, file: FetchedFile, sha256: str) -> bool:
        vector = self._cache.get(sha256)
        if vector is None:
            return False
        self._embedded.append(EmbeddedPicture(place, file.etag, sha256, vector, new=False))
        return True

    def _embed_all(self, progress: Progress, decoders: int) -> None:
        batch: list[_Prepared] = []
        while decoders:
            item = self._prepared.get(progress.cancelled)
            if progress.cancelled():
                raise Cancelled()
            if item is not None:
                batch.append(item)
            else:
                decoders -= 1
            if batch and (len(batch) == self._encoder.batch or not decoders):
                self._embed(batch)
                batch = []

    def _embed(self, batch: list[_Prepared]) -> None:
        with self._board.busy(EMBED):
            vectors, usable = self._encoder.embed_usable([item.pixels for item in batch])
            found = list(zip(batch, vectors, usable, strict=True))
            self._cache.add({item.sha256: vector for item, vector, is_usable in found if is_usable})
        for item, vector, is_usable in found:
            if is_usable:
                self._embedded.append(EmbeddedPicture(item.place, item.etag, item.sha256, vector, new=True))
            else:
                self._report(item.place.key, "the encoder returned no usable vector for it")
            self._board.add(EMBED, item.place.product)

    def _report(self, key: str, why: str) -> None:
        self.findings.append(Finding.warning(BAD_PICTURE, key, why))
