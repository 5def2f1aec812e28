"""Answers from an index while it is rebuilt: a query holds one generation, and a broken one never replaces another."""

from __future__ import annotations

from datetime import datetime, timezone

from core.api_schema import Generation, IndexStatus
from core.errors import XaivaError
from core.inference.generation_reader import GenerationReader
from core.inference.generations import BrokenGeneration, NoGeneration
from core.inference.inspection.encoder import EncoderFiles
from core.inference.inspection.index_files import IndexFacts, LoadedIndex, index_generations, read_index
from core.inference.inspection.listed_pictures import ListedPictures, listing_trouble, read_listed
from core.inference.settings import ServiceSettings


class IndexReader:
    """The index `name` (normal or defect). Thread-safe."""

    def __init__(self, settings: ServiceSettings, name: str) -> None:
        self.name = name
        self._generations = index_generations(settings, name)
        self._reader = GenerationReader(self._generations, read_index)

    def current(self) -> LoadedIndex | None:
        """The index that answers now; None when nothing was built, or nothing can be read. Use it for a whole query."""
        try:
            return self._reader.current().content
        except (NoGeneration, BrokenGeneration):
            return None

    @property
    def why(self) -> str:
        """Why the newest generation does not answer, and which one does; empty when it does, or none was built."""
        return self._reader.trouble

    def status(self, encoder: EncoderFiles | None = None, listed: ListedPictures | None = None) -> IndexStatus:
        """Its generations and what is wrong.

        `encoder`: the one that a rebuild would use; `listed`: its pictures in the storage, None when it was not read.
        """
        answering = self.current()
        trouble = [self.why] if self.why else []
        if answering and encoder and answering.encoder.sha256 != encoder.sha256:
            made_with = f"it was made with the encoder {answering.encoder.name}"
            trouble.append(f"{made_with}, which has changed or is no longer the one of the settings; rebuild it")
        if answering:
            has = read_listed(self._generations, answering.generation.manifest.number)
            trouble += listing_trouble(self.name, "the index", has, listed)
        return IndexStatus(
            name=self.name,
            current=self._describe(self._generations.token(), answering),
            previous=self._describe(self._generations.previous(), answering),
            trouble=trouble,
        )

    def _describe(self, name: str, answering: LoadedIndex | None) -> Generation | None:
        if not name:
            return None
        try:
            generation = self._generations.open(name)
            facts = IndexFacts.model_validate(generation.manifest.facts)
        except (XaivaError, ValueError) as error:
            why = error.summary if isinstance(error, XaivaError) else "its manifest is not that of an index"
            return Generation(number=int(name) if name.isdecimal() else 0, made=_time(0), why=why)
        manifest = generation.manifest
        answers = answering is not None and answering.generation.manifest.number == manifest.number
        return Generation(
            number=manifest.number,
            made=_time(manifest.made),
            pictures=facts.count,
            entries=facts.count,
            model=f"{facts.encoder.name} {facts.encoder.sha256[:12]}",
            current=answers,
            why="" if answers or name != self._generations.token() else self.why,
        )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
