"""Answers from an index while it is rebuilt: a query holds one generation, and a broken one never replaces another."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

from core.api_schema import Generation, IndexStatus, Neighbour
from core.errors import XaivaError
from core.inference.generations import BrokenGeneration, GenerationFolder, Generations, NoGeneration
from core.inference.inspection.embeddings import Vector
from core.inference.inspection.encoder import EncoderFiles
from core.inference.inspection.index_files import IndexFacts, LoadedIndex, read_index

logger = logging.getLogger(__name__)

RETRY_SECONDS = 10.0  # after which a generation that could not be read is tried again: a disk may have been away


class IndexReader:
    """The index `name` (normal or defect) below the inspection folder. Thread-safe."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._generations = Generations(folder / f"index-{name}")
        self._loaded: LoadedIndex | None = None
        self._token = ""
        self._why = ""
        self._retry_at = 0.0
        self._loading = threading.Lock()

    def current(self) -> LoadedIndex | None:
        """The index that answers now; None when nothing was built, or nothing can be read. Use it for a whole query."""
        if self._outdated():
            with self._loading:
                if self._outdated():
                    self._load()
        return self._loaded

    def search(self, vector: Vector, count: int, product: str | None = None) -> list[Neighbour]:
        """The nearest entries, as `LoadedIndex.search`; none when there is no index."""
        index = self.current()
        return index.search(vector, count, product) if index else []

    @property
    def why(self) -> str:
        """Why the newest generation does not answer; empty when it does, or when there is none."""
        return self._why

    def status(self, encoder: EncoderFiles | None = None) -> IndexStatus:
        """Its generations and what is wrong. `encoder`: the one that a rebuild would use."""
        answering = self.current()
        trouble = []
        if self._why:
            instead = f"generation {answering.generation.manifest.number} answers" if answering else "nothing answers"
            trouble.append(f"{self._why}; {instead}")
        if answering and encoder and answering.encoder.sha256 != encoder.sha256:
            made_with = f"it was made with the encoder {answering.encoder.name}"
            trouble.append(f"{made_with}, which has changed or is no longer the one of the settings; rebuild it")
        return IndexStatus(
            name=self.name,
            current=self._describe(self._generations.token(), answering),
            previous=self._describe(self._generations.previous(), answering),
            trouble=trouble,
        )

    def _outdated(self) -> bool:
        return self._generations.token() != self._token or (bool(self._why) and time.monotonic() >= self._retry_at)

    def _load(self) -> None:
        token = self._generations.token()
        try:
            self._loaded, self._why = self._generations.load(read_index), ""
            logger.info("index %s: generation %d answers", self.name, self._loaded.generation.manifest.number)
        except NoGeneration:
            self._loaded, self._why = None, ""
        except BrokenGeneration as error:
            if error.summary != self._why:
                logger.error("index %s: a generation is refused: %s", self.name, error)
            self._why = error.summary
            self._loaded = self._loaded or self._load_another(token)
        self._token = token
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _load_another(self, broken: str) -> LoadedIndex | None:
        """The newest generation that can be read besides the broken one, those before it first."""
        names = [name for name in self._generations.names() if name != broken]
        for name in sorted(names, key=lambda name: (name < broken, name), reverse=True):
            try:
                generation = self._generations.open(name)
                generation.check()
                return read_index(generation)
            except (XaivaError, OSError) as error:
                logger.error("index %s: %s is refused, too: %s", self.name, name, error)
        return None

    def _describe(self, name: str, answering: LoadedIndex | None) -> Generation | None:
        if not name:
            return None
        try:
            generation = self._generations.open(name)
            facts = IndexFacts.model_validate(generation.manifest.facts)
        except (XaivaError, ValueError) as error:
            why = error.summary if isinstance(error, XaivaError) else "its manifest is not that of an index"
            return Generation(number=int(name) if name.isdecimal() else 0, made=_time(0), why=why)
        return _describe_generation(generation, facts, answering)


def _describe_generation(generation: GenerationFolder, facts: IndexFacts, answering: LoadedIndex | None) -> Generation:
    manifest = generation.manifest
    return Generation(
        number=manifest.number,
        made=_time(manifest.made),
        pictures=facts.count,
        entries=facts.count,
        model=f"{facts.encoder.name} {facts.encoder.sha256[:12]}",
        current=answering is not None and answering.generation.manifest.number == manifest.number,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
