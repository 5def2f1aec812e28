"""Turns a product's pictures in the storage into features: files are decoded in threads while others are computed."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from core.api_schema import Region
from core.errors import Cancelled, InputError, os_reason
from core.files import sha256_bytes
from core.findings import Finding
from core.inference.inspection.feature_cache import FeatureCache
from core.inference.inspection.layout import DEFECT, NORMAL, Layout, is_ignored
from core.inference.inspection.listed_pictures import ListedPictures
from core.inference.inspection.pictures import MAX_BYTES, decode
from core.inference.inspection.product_folders import product_folders
from core.inference.models.detector import Picture
from core.inference.models.features import FEATURE_BATCH, Backbone
from core.inference.models.product_bank import PictureFeatures, least_size, scaled_tiles, tile_features
from core.inference.storage.fetch import FetchedFile, Mirror
from core.inference.storage.model import NameFinding
from core.natural_order import natural_key
from core.progress import REPORT_SECONDS, Progress, Stage, StageState, stop_if_cancelled

FETCH, FETCH_DEFECTS, FEATURES = "fetch", "fetch-defects", "features"  # stages of a product
BAD_PICTURE = "bad-picture"  # codes of findings
BOTH = "normal-and-defect"
MAX_DECODERS = 8


@dataclass
class CollectedPictures:
    """The hashes of the usable pictures' files; their features are in the cache. Defects never enter a bank."""

    normal: set[str] = field(default_factory=set)
    defects: dict[str, str] = field(default_factory=dict)
    """With the type of each."""
    keys: dict[str, str] = field(default_factory=dict)
    """The key of each; the first one in their order, where several objects have the same content."""
    listed: ListedPictures = field(default_factory=ListedPictures)
    """All normal ones, also those that cannot be used."""
    computed: int = 0
    fetched: int = 0
    usable: int = 0
    """Files, also copies of one picture."""
    findings: list[Finding] = field(default_factory=list)

    def in_order(self, hashes: Iterable[str]) -> list[str]:
        """These, in the natural order of their keys: for most cameras the order in which they were taken."""
        return sorted(hashes, key=lambda sha256: natural_key(self.keys[sha256]))


@dataclass(frozen=True)
class StoredDefects:
    """Known defects with their types. Features are read from the cache one picture after another, and not kept."""

    cache: FeatureCache
    chosen: Sequence[tuple[str, str]]
    """Hash and type of each."""

    def __len__(self) -> int:
        return len(self.chosen)

    def __iter__(self) -> Iterator[tuple[str, PictureFeatures]]:
        return ((kind, self.cache.load(sha256)) for sha256, kind in self.chosen)


@dataclass(frozen=True)
class _Prepared:
    """A file's hash: its features are in the cache, or computed of these tiles, or there is a reason against it."""

    sha256: str = ""
    tiles: list[Picture] = field(default_factory=list)
    why: str = ""


class PictureCollector:
    """Collects the pictures of one product."""

    def __init__(
        self, network: Backbone, cache: FeatureCache, region: Region, tiles: tuple[int, int], progress: Progress
    ) -> None:
        self._network = network
        self._cache = cache
        self._region = region
        self._tiles = tiles
        self._progress = progress
        self._stage = Stage(id=FEATURES, title="Features", state=StageState.RUNNING, unit="files")
        self._reported = 0.0

    def collect(self, mirror: Mirror, layout: Layout, product: str) -> CollectedPictures:
        """The product's pictures. Raises Cancelled, and what fetching and the network raise."""
        found = CollectedPictures()
        self._stage = self._stage.model_copy(update={"started": time.time()})
        sources = [
            (folder, stage, title)
            for subject, stage, title in (
                (NORMAL, FETCH, "Fetch normal pictures"),
                (DEFECT, FETCH_DEFECTS, "Fetch known defects"),
            )
            for folder in product_folders(mirror.storage, layout.prefix(subject), product)
        ]
        state = StageState.FAILED
        try:
            for prefix, stage, title in sources:
                with closing(mirror.fetch(prefix, self._progress, stage, title)) as files:
                    self._compute(self._usable(files, layout, found), layout, found)
            state = StageState.DONE if found.computed else StageState.CACHED
        except Cancelled:
            state = StageState.CANCELLED
            raise
        finally:
            self._report(state, ended=time.time())
        _keep_apart(found)
        return found

    def _usable(
        self, files: Iterator[FetchedFile | NameFinding], layout: Layout, found: CollectedPictures
    ) -> Iterator[FetchedFile]:
        for file in files:
            stop_if_cancelled(self._progress)
            if is_ignored(file.key):
                continue
            if isinstance(file, NameFinding):
                found.findings.append(Finding.warning(BAD_PICTURE, file.key, file.why))
            elif layout.parse_key(file.key) is None:
                found.findings.append(
                    Finding.warning(BAD_PICTURE, file.key, "it lies in no folder of a type of defect")
                )
            else:
                found.fetched += file.fetched
                if file.key.startswith(layout.prefix(NORMAL)):
                    found.listed.add(file)
                yield file

    def _compute(self, files: Iterator[FetchedFile], layout: Layout, found: CollectedPictures) -> None:
        """Prepare files some ahead, in threads, and compute the features of what is ready in batches."""
        decoders = max(1, min(MAX_DECODERS, len(os.sched_getaffinity(0))))
        ahead: deque[tuple[FetchedFile, Future[_Prepared]]] = deque()
        batch: list[tuple[FetchedFile, _Prepared]] = []
        with ThreadPoolExecutor(decoders, thread_name_prefix="decode") as threads:
            try:
                for file in files:
                    ahead.append((file, threads.submit(self._prepare, file)))
                    if len(ahead) > FEATURE_BATCH + decoders:
                        self._take(ahead.popleft(), batch, layout, found)
                while ahead:
                    self._take(ahead.popleft(), batch, layout, found)
                self._compute_batch(batch, layout, found)
            finally:
                threads.shutdown(cancel_futures=True)

    def _take(
        self,
        item: tuple[FetchedFile, Future[_Prepared]],
        batch: list[tuple[FetchedFile, _Prepared]],
        layout: Layout,
        found: CollectedPictures,
    ) -> None:
        file, prepared = item[0], item[1].result()
        stop_if_cancelled(self._progress)
        if prepared.why:
            found.findings.append(Finding.warning(BAD_PICTURE, file.key, prepared.why))
        elif not prepared.tiles:
            self._add(file, prepared.sha256, layout, found)
        else:
            batch.append((file, prepared))
        if sum(len(one.tiles) for _, one in batch) >= FEATURE_BATCH:
            self._compute_batch(batch, layout, found)

    def _compute_batch(
        self, batch: list[tuple[FetchedFile, _Prepared]], layout: Layout, found: CollectedPictures
    ) -> None:
        if not batch:
            return
        features = tile_features([tile for _, one in batch for tile in one.tiles], self._network)
        rows = len(features) // len(batch)
        for number, (file, prepared) in enumerate(batch):
            self._cache.put(prepared.sha256, features[number * rows : (number + 1) * rows])
            found.computed += 1
            self._add(file, prepared.sha256, layout, found)
        batch.clear()

    def _add(self, file: FetchedFile, sha256: str, layout: Layout, found: CollectedPictures) -> None:
        place = layout.parse_key(file.key)
        assert place is not None
        found.usable += 1
        found.keys[sha256] = min(file.key, found.keys.get(sha256, file.key))
        if place.label == NORMAL and file.key.startswith(layout.prefix(NORMAL)):
            found.normal.add(sha256)
        else:
            found.defects[sha256] = place.label
        self._stage = self._stage.model_copy(update={"done": self._stage.done + 1})
        if time.monotonic() - self._reported > REPORT_SECONDS:
            self._reported = time.monotonic()
            self._report(StageState.RUNNING)

    def _prepare(self, file: FetchedFile) -> _Prepared:
        """In a thread."""
        try:
            if file.size > MAX_BYTES:
                return _Prepared(why=f"it has {file.size >> 20} MB, and {MAX_BYTES >> 20} are allowed")
            data = file.read()
            sha256 = sha256_bytes(data)
            if self._cache.get(sha256) is not None:
                return _Prepared(sha256)
            size = self._network.width, self._network.height
            picture = decode(data, at_least=least_size(self._region, self._tiles, size))
            return _Prepared(sha256, tiles=scaled_tiles(picture, self._region, self._tiles, size))
        except InputError as error:
            return _Prepared(why=error.why)
        except OSError as error:
            return _Prepared(why=f"it cannot be read: {os_reason(error)}")

    def _report(self, state: StageState, ended: float = 0) -> None:
        self._progress.stage(self._stage.model_copy(update={"state": state, "ended": ended}))


def _keep_apart(found: CollectedPictures) -> None:
    """A picture that lies among both is a defect: a bank must not learn it."""
    for sha256 in found.normal & found.defects.keys():
        found.normal.remove(sha256)
        what = f"A picture lies among the normal ones and among the defects ({found.defects[sha256]})"
        remedy = "remove it from one of the two"
        found.findings.append(Finding.warning(BOTH, what, "it counts as a defect", remedy))
