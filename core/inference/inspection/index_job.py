"""The job that rebuilds an index from the storage: one pass from the listing to the published generation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing

import numpy as np
from pydantic import JsonValue

from core.errors import InputError
from core.findings import Finding
from core.inference.generations import GenerationFolder
from core.inference.inspection.embeddings import EmbeddingCache
from core.inference.inspection.encoder import EncoderIdentity, ImageEncoder, Vectors, find_encoder
from core.inference.inspection.index_files import (
    IndexEntry,
    LoadedIndex,
    check_written,
    index_facts,
    index_generations,
    write_index,
)
from core.inference.inspection.indexes import IndexReader
from core.inference.inspection.layout import DEFECT, NORMAL, Layout
from core.inference.inspection.listed_pictures import note_listed
from core.inference.inspection.nearest_check import LEAST_SHARE, agreement, compare
from core.inference.inspection.picture_flow import (
    BAD_PICTURE,
    DECODE,
    EMBED,
    FETCH,
    EmbeddedPicture,
    PictureFlow,
)
from core.inference.inspection.stage_board import StageBoard
from core.inference.inspection.unusable_pictures import check_share, override_hint
from core.inference.jobs.context import JobContext
from core.inference.jobs.reservation import reserve
from core.inference.models.registry import execution_provider
from core.inference.storage import open_mirror
from core.inference.storage.fetch import FetchedFiles
from core.progress import Progress, Stage, StageState, stage

INDEX, PUBLISH = "index", "publish"
SHOWN_FINDINGS = 200  # of a result; all are counted
NAMED_PRODUCTS = 3  # in an error


def run(
    context: JobContext, subject: str, options: Mapping[str, JsonValue], progress: Progress
) -> dict[str, JsonValue]:
    """Rebuild the index `normal` or `defect`. With the option `force` it is published whatever it contains.

    Raises InputError for too many unusable pictures, for none at all, and for an index that is worse than the old one;
    TransientError when the storage does not answer; XaivaError; Cancelled. The old index keeps answering then.
    """
    if subject not in (NORMAL, DEFECT):
        raise InputError(f"The index {subject}", "there is no such index", f"write {NORMAL} or {DEFECT}")
    return _IndexJob(context, subject, bool(options.get("force")), progress).run()


def check(context: JobContext, _subject: str, _options: Mapping[str, JsonValue]) -> None:
    """Raise InputError for an encoder that is missing, or whose description cannot be read."""
    find_encoder(context.settings)


class _IndexJob:
    def __init__(self, context: JobContext, subject: str, force: bool, progress: Progress) -> None:
        self._context = context
        self._settings = context.settings
        self._subject = subject
        self._force = force
        self._progress = progress
        self._layout = Layout.of(context.settings)
        self._generations = index_generations(context.settings, subject)
        self._what = f"The index of {subject} pictures"
        self._override = override_hint(f"--index {subject}")
        self._findings: list[Finding] = []
        self._broken = False  # the newest generation, which must be replaced

    def run(self) -> dict[str, JsonValue]:
        files = find_encoder(self._settings)
        old = self._old()
        encoder = ImageEncoder(files, execution_provider(self._settings))
        board = StageBoard(self._progress)
        with board, reserve(self._context, self._progress, files.key, files.memory), closing(encoder):
            with stage(self._progress, "load", f"Load the encoder {files.name}"):
                encoder.load()
            cache = EmbeddingCache(self._settings.inspection_folder / "embeddings", self._subject, encoder.identity)
            with cache:
                embedded, flow = self._embed(encoder, cache, board, old)
                published = self._publish(encoder.identity, embedded, old, board)
                if published is not None:
                    note_listed(self._generations, published.manifest.number, flow.listed)
                if old is None or published is not old.generation:
                    cache.keep_only(_used(embedded, old))
        if cache.trouble:
            what = "The next run computes all pictures again"
            self._findings.append(Finding.warning("embeddings-not-kept", what, cache.trouble))
        return {
            "generation": published.manifest.number if published else 0,
            "pictures": len(embedded),
            "products": dict(Counter(picture.place.product for picture in embedded)),
            "embedded": sum(picture.new for picture in embedded),
            "fetched": flow.fetched,
            "encoder": files.name,
            "findings": [finding.model_dump(mode="json") for finding in self._findings[:SHOWN_FINDINGS]],
            "findings_total": len(self._findings),
            "seconds": dict(board.seconds),
        }

    def _old(self) -> LoadedIndex | None:
        """The index that answers now; None for none that can be used."""
        reader = IndexReader(self._settings, self._subject)
        old = reader.current()
        if reader.why:
            self._broken = True
            self._findings.append(Finding.warning("broken-index", self._what, reader.why))
        return old

    def _embed(
        self, encoder: ImageEncoder, cache: EmbeddingCache, board: StageBoard, old: LoadedIndex | None
    ) -> tuple[list[EmbeddedPicture], PictureFlow]:
        """Every picture with its vector, and the pass that found them."""
        self._progress.stage(Stage(id=FETCH, title=self._fetch_title))  # the first of the three, which begin together
        board.start(DECODE, "Decode")
        board.start(EMBED, "Embed", encoder.provider)
        known = {(entry.key, entry.etag): entry.sha256 for entry in old.entries if entry.etag} if old else {}
        flow = PictureFlow(encoder, cache, board, self._layout.parse_key, known)
        embedded = flow.run(self._progress, self._fetch)
        bad = sorted(flow.findings, key=lambda finding: finding.what)
        self._findings += bad
        for finding in bad:
            self._progress.log(finding.summary, DECODE)
        if not self._force:
            check_share(self._what, bad, len(embedded), self._settings.jobs_findings, self._override)
        return embedded, flow

    def _fetch(self, progress: Progress) -> FetchedFiles:
        prefix = self._layout.prefix(self._subject)
        return open_mirror(self._settings).fetch(prefix, progress, FETCH, self._fetch_title)

    @property
    def _fetch_title(self) -> str:
        return f"Fetch {self._layout.prefix(self._subject)}"

    def _publish(
        self, identity: EncoderIdentity, embedded: list[EmbeddedPicture], old: LoadedIndex | None, board: StageBoard
    ) -> GenerationFolder | None:
        """Write and publish the index; returns what answers then, None for nothing.

        An index in which nothing has changed stays: another one would take the place of the one to go back to.
        Raises InputError for one that may not be published.
        """
        if not embedded and not self._force:
            self._refuse_empty()
            return None
        entries = [
            IndexEntry(place.key, place.label, place.product, picture.etag, picture.sha256)
            for picture in embedded
            for place in (picture.place,)
        ]
        if old is not None and old.encoder == identity and old.entries == entries and not (self._force or self._broken):
            number = old.generation.manifest.number
            self._progress.stage(Stage(id=PUBLISH, title="Nothing has changed", state=StageState.CACHED))
            self._progress.log(f"nothing has changed: generation {number} stays", PUBLISH)
            return old.generation
        with board.busy(INDEX), stage(self._progress, INDEX, "Check the new index"):
            vectors = _matrix(embedded, identity.dimension)
            if old is not None and not self._force:
                self._check_losses(entries, old)
                self._check_quality(entries, vectors, old)
            facts = index_facts(identity, len(entries), agreement(entries, vectors).share)
        with board.busy(PUBLISH), stage(self._progress, PUBLISH, "Publish"), self._generations.write() as folder:
            write_index(folder, entries, vectors)
            check_written(folder, facts)
            published = self._generations.publish(folder, facts)
            self._progress.log(f"generation {published.manifest.number} answers: {len(entries)} pictures", PUBLISH)
            return published

    def _refuse_empty(self) -> None:
        """Raise InputError if an index would be replaced by an empty one; else note that there is nothing."""
        why = f"there is no usable picture below {self._layout.prefix(self._subject)} in the storage"
        if self._generations.names():
            raise InputError(
                self._what, f"{why}, and an empty index would replace it", f"put pictures there, {self._override}"
            )
        self._findings.append(Finding.warning("no-pictures", f"{self._what} was not built", why))

    def _check_losses(self, entries: Sequence[IndexEntry], old: LoadedIndex) -> None:
        """Raise InputError when the new index lacks much of what the old one has.

        A product whose pictures were all removed may go; one whose files are all unusable may not.
        """
        bad = (self._layout.parse_key(finding.what) for finding in self._findings if finding.code == BAD_PICTURE)
        unusable = {place.product for place in bad if place} & {entry.product for entry in old.entries}
        lost = sorted(unusable - {entry.product for entry in entries})
        if lost:
            named = ", ".join(lost[:NAMED_PRODUCTS]) + (", …" if len(lost) > NAMED_PRODUCTS else "")
            why = f"it would lose {named}: there are files, but none that can be used"
            raise InputError(self._what, why, f"repair or remove them, {self._override}")
        if len(entries) < LEAST_SHARE * len(old.entries):
            why = f"it would have {len(entries)} pictures; the index that answers now has {len(old.entries)}"
            raise InputError(self._what, why, f"check the bucket and the folder, {self._override}")

    def _check_quality(self, entries: list[IndexEntry], vectors: Vectors, old: LoadedIndex) -> None:
        """Raise InputError when the new index is worse than the old one."""
        compared = compare(entries, vectors, old.entries, old.vectors)
        if compared.worse:
            why = (
                f"{compared.new.share:.1%} of {compared.new.asked} pictures have a picture of their own product and "
                f"label as their nearest neighbour; in the index that answers now it is {compared.old.share:.1%}"
            )
            raise InputError(self._what, why, f"look for pictures in a wrong folder, {self._override}")


def _matrix(embedded: Sequence[EmbeddedPicture], dimension: int) -> Vectors:
    matrix = np.zeros((len(embedded), dimension), np.float32)
    for row, picture in enumerate(embedded):
        matrix[row] = picture.vector
    return matrix


def _used(embedded: Sequence[EmbeddedPicture], old: LoadedIndex | None) -> set[str]:
    """The hashes of pictures whose embeddings stay: of this generation, and of the one that is the way back."""
    return {picture.sha256 for picture in embedded} | {entry.sha256 for entry in (old.entries if old else ())}
