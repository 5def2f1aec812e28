"""Measures a picture: its score and map by the product's memory bank, and the known pictures that look most like it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from core.api_schema import Neighbour
from core.errors import XaivaError
from core.inference.inspection.banks import BankShelf
from core.inference.inspection.embeddings import Vector
from core.inference.inspection.encoder import encoder_spec, find_encoder_of
from core.inference.inspection.index_files import LoadedIndex
from core.inference.inspection.index_pair import IndexPair
from core.inference.inspection.layout import NORMAL
from core.inference.inspection.pictures import decode
from core.inference.model_pool.pool import ModelPool, ModelSpec
from core.inference.models.detector import Picture
from core.inference.models.features import Backbone
from core.inference.models.onnx_backbone import BackboneFiles
from core.inference.models.product_bank import BankFacts, least_size
from core.inference.models.registry import execution_provider
from core.inference.models.tiles import ScoreMap
from core.inference.settings import ServiceSettings

FEATURES = "inspection"  # begins the pool's key of a backbone: not the cameras' own, which it would keep waiting


@dataclass
class Measured:
    """What was measured; `threshold` is the one of the bank. Generations are 0 for none, `seconds` by step."""

    score: float
    map: ScoreMap
    threshold: float
    bank: int
    picture: Picture
    normal_index: int = 0
    defect_index: int = 0
    normals: list[Neighbour] = field(default_factory=list)
    defects: list[Neighbour] = field(default_factory=list)
    explanation: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


class Inspector:
    """Leases the networks from the pool, as cameras do. Thread-safe."""

    def __init__(self, settings: ServiceSettings, pool: ModelPool, banks: BankShelf, indexes: IndexPair) -> None:
        self._settings = settings
        self._pool = pool
        self._banks = banks
        self._indexes = indexes

    def measure(self, product: str, content: bytes, neighbours: int) -> Measured:
        """Measure a picture. Raises NoBank, BadPicture, InputError for a picture that is too small, NoRoom, LoadFailed.

        Without an index, or the encoder that it was made with, there are no neighbours and an explanation.
        """
        clock = _Clock()
        held = self._banks.load(product)
        backbone = self._banks.backbone(held.content.facts)
        indexes, problems = self._indexes.current() if neighbours else ({}, [])
        picture = decode(content, at_least=self._least_size(held.content.facts, backbone, indexes.values()))
        clock.lap("decode")
        with self._pool.lease(f"{FEATURES}:{backbone.key}", self._backbone_spec(backbone)) as lease:
            clock.lap("features")  # loading them, the first time
            result = held.content.score(picture, lease.model)
        clock.lap("score")
        measured = Measured(
            score=result.score,
            map=result.map,
            threshold=held.content.facts.threshold,
            bank=held.manifest.number,
            picture=picture,
        )
        if neighbours:
            problems += self._add_neighbours(measured, product, neighbours, indexes)
            measured.explanation = "; ".join(problems)
            clock.lap("neighbours")
        measured.seconds = clock.seconds
        return measured

    def _least_size(self, bank: BankFacts, backbone: BackboneFiles, indexes: Iterable[LoadedIndex]) -> tuple[int, int]:
        """Width and height from which on a larger picture shows no more, neither to the bank nor to an encoder."""
        sizes = [least_size(bank.region, bank.tiles, backbone.size)]
        for index in indexes:
            with suppress(XaivaError):  # `_add_neighbours` says what is wrong with the encoder
                sizes.append(find_encoder_of(self._settings, index.encoder).size)
        return max(width for width, _ in sizes), max(height for _, height in sizes)

    def _add_neighbours(
        self, measured: Measured, product: str, count: int, indexes: dict[str, LoadedIndex]
    ) -> list[str]:
        """Add the nearest normal and defect pictures; returns the problems of encoders."""
        problems: list[str] = []
        vectors: dict[str, Vector] = {}
        for name, index in indexes.items():
            try:
                vector = self._vector(index, measured.picture, vectors)
            except XaivaError as error:
                problems.append(f"no nearest {name} pictures: {error.summary}")
                continue
            found, generation = index.search(vector, count, product), index.generation.manifest.number
            if name == NORMAL:
                measured.normals, measured.normal_index = found, generation
            else:
                measured.defects, measured.defect_index = found, generation
        return problems

    def _vector(self, index: LoadedIndex, picture: Picture, vectors: dict[str, Vector]) -> Vector:
        """The picture's vector by the encoder that the index was made with; `vectors` are those so far, by encoder."""
        files = find_encoder_of(self._settings, index.encoder)
        if files.key not in vectors:
            with self._pool.lease(files.key, encoder_spec(files, self._settings)) as lease:
                vectors[files.key] = lease.model.embed([picture])[0]
        return vectors[files.key]

    def _backbone_spec(self, files: BackboneFiles) -> ModelSpec[Backbone]:
        return ModelSpec(make=lambda: files.make(execution_provider(self._settings)), declared=files.memory)


class _Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step] = now - self._last
        self._last = now
