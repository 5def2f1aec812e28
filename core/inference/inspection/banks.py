"""The memory banks of products, as the running service reads them."""

from __future__ import annotations

import shlex
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone

from core.api_schema import Generation, Region, ScoreHistogram
from core.errors import InputError, XaivaError
from core.inference.generation_reader import GenerationReader, ReadGeneration
from core.inference.generations import BrokenGeneration, Generations, Manifest, NoGeneration
from core.inference.inspection.listed_pictures import ListedPictures, read_listed
from core.inference.models.bank_files import bank_generations, bank_reader, products_with_banks, read_facts
from core.inference.models.onnx_backbone import BackboneFiles, find_backbone
from core.inference.models.product_bank import LIMIT, BankFacts, ProductBank
from core.inference.settings import ServiceSettings

KEPT_SECONDS = 3.0  # how long the list of products may be used
_SHOWN_DIGITS = 12  # of a network's SHA-256


class NoBank(XaivaError):
    """The product has no memory bank that can be used."""


@dataclass(frozen=True)
class BankStatus:
    """A product's memory bank, and the one before; `threshold` is the one that the bank measured."""

    current: Generation | None = None
    listed: ListedPictures | None = None
    """The normal pictures that the storage listed for the current one; None when that is not known."""
    previous: Generation | None = None
    threshold: float = LIMIT
    cut: tuple[Region, tuple[int, int]] | None = None
    """The region and tiles of the current one."""
    trouble: str = ""
    """Why the current generation cannot be used, and which one answers."""


class BankShelf:
    """All memory banks, each in memory once it was used. Thread-safe."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._readers: dict[str, GenerationReader[ProductBank]] = {}
        self._products: list[str] = []
        self._listed_at = 0.0

    def products(self) -> list[str]:
        """The products that have a memory bank."""
        with self._lock:
            if not self._listed_at or time.monotonic() - self._listed_at > KEPT_SECONDS:
                self._products = products_with_banks(self._settings)
                self._listed_at = time.monotonic()
            return self._products

    def load(self, product: str) -> ReadGeneration[ProductBank]:
        """The bank that answers for a product. Raises NoBank."""
        rebuild = _rebuild(product)
        try:
            held = self._reader(product).current()
        except NoGeneration:
            remedy = f"put normal pictures into the storage, then rebuild it: {rebuild}"
            raise NoBank(f"Product {product}", "it has no memory bank yet", remedy) from None
        except BrokenGeneration as error:
            why = f"no memory bank of it can be used: {error.summary}"
            raise NoBank(f"Product {product}", why, f"rebuild it: {rebuild}") from error
        self.backbone(held.content.facts)
        return held

    def backbone(self, facts: BankFacts) -> BackboneFiles:
        """The backbone of the settings, which the bank was built with. Raises NoBank when it was another one."""
        what = f"Product {facts.product}"
        try:
            files = find_backbone(self._settings)
        except InputError as error:
            raise NoBank(what, f"its memory bank cannot be used: {error.summary}", error.remedy) from error
        if why := facts.network_trouble(files.identity):
            raise NoBank(what, f"its memory bank cannot be used: {why}", f"rebuild it: {_rebuild(facts.product)}")
        return files

    def status(self, product: str) -> BankStatus:
        """What is known of a product's bank. One that was not used yet is not read for that, only its manifest."""
        generations = bank_generations(self._settings, product)
        if not generations.token() and product not in self._readers:
            return BankStatus()
        trouble = ""
        known = _glance(generations) if product not in self._readers else None
        try:
            if known is None:
                held = self.load(product)
                known, trouble = (held.manifest, held.content.facts), self._reader(product).trouble
            else:
                self.backbone(known[1])
        except NoBank as error:
            return BankStatus(trouble=error.why if generations.token() else "")
        manifest, facts = known
        current = _generation(manifest, facts).model_copy(update={"current": True})
        listed = read_listed(generations, manifest.number)
        cut = facts.region, facts.tiles
        return BankStatus(current, listed, _previous(generations), facts.threshold, cut, trouble)

    def histogram(self, product: str) -> ScoreHistogram:
        """The scores that the bank in use measured. Raises NoBank."""
        facts = self.load(product).content.facts
        normal, defect = facts.histogram()
        return ScoreHistogram(product=product, threshold=facts.threshold, normal=normal, defect=defect)

    def _reader(self, product: str) -> GenerationReader[ProductBank]:
        with self._lock:
            if product not in self._readers:
                self._readers[product] = bank_reader(self._settings, product)
            return self._readers[product]


def _rebuild(product: str) -> str:
    return f"xaiva product rebuild {shlex.quote(product)}"


def _glance(generations: Generations) -> tuple[Manifest, BankFacts] | None:
    """The manifest of the current generation; None unless its files have their sizes."""
    try:
        generation = generations.open()
        facts = read_facts(generation)
        sizes = {name: (generation.path / name).stat().st_size for name in generation.manifest.files}
    except (BrokenGeneration, NoGeneration, OSError):
        return None
    whole = all(sizes[name] == size for name, (size, _) in generation.manifest.files.items())
    return (generation.manifest, facts) if whole else None


def _previous(generations: Generations) -> Generation | None:
    """The generation that a rollback would publish."""
    name = generations.previous()
    if not name:
        return None
    try:
        generation = generations.open(name)
        return _generation(generation.manifest, read_facts(generation))
    except BrokenGeneration as error:
        return Generation(number=int(name), made=_moment(0), why=error.summary)


def _generation(manifest: Manifest, facts: BankFacts) -> Generation:
    return Generation(
        number=manifest.number,
        made=_moment(manifest.made),
        pictures=facts.pictures,
        entries=facts.patches,
        model=f"{facts.network_name} {facts.network[:_SHOWN_DIGITS]}",
    )


def _moment(unix: float) -> datetime:
    return datetime.fromtimestamp(unix, timezone.utc)
