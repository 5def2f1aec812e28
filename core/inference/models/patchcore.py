"""The PatchCore detector (`memory`): how far a picture is from everything that was normal at its camera.

A camera may use the memory bank of a product instead of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from core.errors import XaivaError
from core.inference.models.camera_product_banks import ProductBanks
from core.inference.models.detector import Sample
from core.inference.models.features import Features, PatchFeatures
from core.inference.models.memory_bank import BankStore, BrokenBank, MemoryBank
from core.inference.models.product_bank import ProductBank

logger = logging.getLogger(__name__)


class PatchCoreDetector:
    """Scores pictures with the memory bank of their camera; cameras without one score 0.

    Normal footage ended at 0.5 when the bank was learned. Each picture is scored by itself.
    """

    width = PatchFeatures.width
    height = PatchFeatures.height
    pixel_format = "rgb24"

    def __init__(self, features: PatchFeatures, store: BankStore, products: ProductBanks) -> None:
        self.features = features
        self._store = store
        self._products = products
        self._banks: dict[str, MemoryBank | None] = {}
        self._unusable: dict[str, str] = {}  # by product: why, so that it is logged once

    @property
    def provider(self) -> str:
        return self.features.provider

    def load(self) -> None:
        """Load the network, not the banks. Raises XaivaError."""
        self.features.load()

    def close(self) -> None:
        self.features.close()
        self._banks.clear()

    def forget(self, camera: str) -> None:
        """Read the camera's bank again for its next picture."""
        self._banks.pop(camera, None)

    def score(self, batch: Sequence[Sample]) -> list[float]:
        """Score RGB pictures (224 x 384 x 3), all in one batch; 0 for cameras without a bank."""
        scorable = [(sample, bank) for sample in batch if (bank := self._bank_of(sample)) is not None]
        if not scorable:
            return [0.0] * len(batch)
        features = self.features.extract([sample.picture for sample, _ in scorable])
        scores = {
            id(sample): self._score(bank, patches) for (sample, bank), patches in zip(scorable, features, strict=True)
        }
        return [scores.get(id(sample), 0.0) for sample in batch]

    def _score(self, bank: MemoryBank | ProductBank, patches: Features) -> float:
        if isinstance(bank, ProductBank):
            return bank.score_features(self.features.average(patches[None])[0], self.features).score
        return bank.score(self.features.distances(bank.standardise(patches), bank.patches))

    def _bank_of(self, sample: Sample) -> MemoryBank | ProductBank | None:
        return self._product_bank(sample.product) if sample.product else self._bank(sample.camera)

    def _product_bank(self, product: str) -> ProductBank | None:
        """The product's current bank: as soon as a new one is published, that one."""
        try:
            bank = self._products.bank(product)
        except XaivaError as error:
            if self._unusable.get(product) != error.summary:
                logger.warning("cameras of the product %s score 0: %s", product, error)
                self._unusable[product] = error.summary
            return None
        self._unusable.pop(product, None)
        return bank

    def _bank(self, camera: str) -> MemoryBank | None:
        if camera not in self._banks:
            try:
                self._banks[camera] = self._store.load(camera)
            except XaivaError as error:
                level = logging.ERROR if isinstance(error, BrokenBank) else logging.WARNING
                logger.log(level, "camera %s scores 0: %s", camera, error)
                self._banks[camera] = None
        return self._banks[camera]
