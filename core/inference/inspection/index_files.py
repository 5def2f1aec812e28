"""The files of an index in its generation: vectors in `index.faiss`, and what they stand for in `entries.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import faiss
import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from core.api_schema import Neighbour
from core.inference.generations import BrokenGeneration, GenerationFolder, Generations
from core.inference.inspection.embeddings import Vector
from core.inference.inspection.encoder import EncoderIdentity, Vectors
from core.inference.settings import ServiceSettings

VECTORS_FILE, ENTRIES_FILE = "index.faiss", "entries.json"


@dataclass(frozen=True)
class IndexEntry:
    """What a vector of an index stands for. `label` is normal, or the type of the defect."""

    key: str
    label: str
    product: str
    etag: str
    sha256: str


class IndexFacts(BaseModel):
    """What the manifest of a generation says about its index."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    count: int
    encoder: EncoderIdentity
    agreement: float = 1.0
    """The share of pictures whose nearest neighbour is of the same product and label."""


_ENTRIES = TypeAdapter(list[IndexEntry])


class LoadedIndex:
    """One generation of an index in memory. Thread-safe."""

    def __init__(self, generation: GenerationFolder, index: Any, entries: list[IndexEntry], facts: IndexFacts) -> None:
        self.generation = generation
        self.entries = entries
        self.encoder = facts.encoder
        self._index = index
        self._selectors: dict[str, Any] = {}
        self._lock = Lock()

    @property
    def vectors(self) -> Vectors:
        """All vectors, in the order of the entries."""
        vectors: Vectors = self._index.reconstruct_n(0, self._index.ntotal)
        return vectors

    def search(self, vector: Vector, count: int, product: str | None = None) -> list[Neighbour]:
        """The nearest entries of all products or of one, the most similar first; fewer when there are fewer.

        `vector` is of length 1 and made by `encoder`; any other dimension is a ValueError.
        """
        if vector.shape != (self.encoder.dimension,):
            raise ValueError(f"a vector of {vector.shape} for an index of {self.encoder.dimension} dimensions")
        faiss.omp_set_num_threads(1)  # more threads make a single query slower
        parameters: Any = faiss.SearchParameters()
        if product is not None:
            parameters.sel = self._selector(product)
        similarities, ids = self._index.search(vector[None].astype(np.float32), count, params=parameters)
        found = [
            (self.entries[row], float(value)) for row, value in zip(ids[0], similarities[0], strict=True) if row >= 0
        ]
        return [
            Neighbour(key=entry.key, label=entry.label, product=entry.product, similarity=similarity)
            for entry, similarity in found
        ]

    def _selector(self, product: str) -> Any:
        with self._lock:
            if product not in self._selectors:
                ids = [number for number, entry in enumerate(self.entries) if entry.product == product]
                self._selectors[product] = faiss.IDSelectorBatch(np.array(ids, np.int64))
            return self._selectors[product]


def index_generations(settings: ServiceSettings, name: str) -> Generations:
    """The generations of the index `normal` or `defect`."""
    return Generations(settings.inspection_folder / f"index-{name}")


def write_index(folder: Path, entries: Sequence[IndexEntry], vectors: Vectors) -> None:
    """Write both files. Raises OSError."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    (folder / VECTORS_FILE).write_bytes(faiss.serialize_index(index).tobytes())  # FAISS hides the errors of a full disk
    (folder / ENTRIES_FILE).write_text(json.dumps([asdict(entry) for entry in entries], ensure_ascii=False))


def index_facts(encoder: EncoderIdentity, count: int, agreement: float) -> dict[str, JsonValue]:
    """The facts of a new generation."""
    facts = IndexFacts(count=count, encoder=encoder, agreement=round(agreement, 4))
    content: dict[str, JsonValue] = facts.model_dump(mode="json")
    return content


def check_written(folder: Path, facts: dict[str, JsonValue]) -> None:
    """Read what `write_index` wrote, before it is published. Raises OSError, BrokenGeneration."""
    _read(folder, facts)


def read_index(generation: GenerationFolder) -> LoadedIndex:
    """Read a generation whose files were checked. Raises OSError, and BrokenGeneration when they disagree."""
    return LoadedIndex(generation, *_read(generation.path, generation.manifest.facts))


def _read(folder: Path, declared: dict[str, JsonValue]) -> tuple[Any, list[IndexEntry], IndexFacts]:
    try:
        facts = IndexFacts.model_validate(declared)
        entries = _ENTRIES.validate_json((folder / ENTRIES_FILE).read_bytes())
        index = faiss.deserialize_index(np.fromfile(folder / VECTORS_FILE, np.uint8))
    except ValidationError as error:
        raise _broken(folder, "its manifest or its entries are not those of an index") from error
    except RuntimeError as error:
        raise _broken(folder, f"{VECTORS_FILE} cannot be read by FAISS") from error
    if not index.ntotal == len(entries) == facts.count:
        why = f"it has {index.ntotal} vectors and {len(entries)} entries, and {facts.count} are declared"
        raise _broken(folder, why)
    if index.d != facts.encoder.dimension:
        raise _broken(folder, f"its vectors have {index.d} dimensions, and its encoder {facts.encoder.dimension}")
    return index, entries, facts


def _broken(folder: Path, why: str) -> BrokenGeneration:
    return BrokenGeneration(f"{folder}", why, "rebuild it")
