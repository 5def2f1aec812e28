"""The memory banks of products as cameras use them: `detection.product` scores a camera with a product's bank."""

from __future__ import annotations

import threading

from core.api_schema import Region
from core.errors import XaivaError
from core.inference.generation_reader import GenerationReader
from core.inference.generations import NoGeneration
from core.inference.models.bank_files import bank_reader
from core.inference.models.features import shipped_network
from core.inference.models.product_bank import ProductBank
from core.inference.settings import ServiceSettings

_REBUILD = "rebuild it: xaiva job start banks"
_OTHER_NETWORK = "learn the camera, which then uses its own bank: cameras do not use the network of XAIVA_BACKBONE"


class ProductBanks:
    """The memory banks of products as cameras use them. Thread-safe."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._readers: dict[str, GenerationReader[ProductBank]] = {}

    def bank(self, product: str) -> ProductBank:
        """The product's current bank, or the last good one. Raises XaivaError for none that a camera can use."""
        try:
            bank = self._reader(product).current().content
        except NoGeneration as error:
            raise XaivaError(f"The memory bank of {product}", "it has not been built yet", _REBUILD) from error
        if why := bank.facts.network_trouble(shipped_network()):
            remedy = _REBUILD if bank.facts.network_name == shipped_network().name else _OTHER_NETWORK
            raise XaivaError(f"The memory bank of {product}", why, remedy)
        if bank.facts.region != Region() or bank.facts.tiles != (1, 1):
            why = "it is one of a region or of tiles, and a camera is scored as one small picture"
            raise XaivaError(f"The memory bank of {product}", why, "use a product without region and tiles")
        return bank

    def why_unusable(self, product: str) -> str:
        """Why the product's bank cannot be used, or why an earlier one is, as a sentence; empty when it can."""
        try:
            self.bank(product)
        except XaivaError as error:
            return f"{error.summary}; {error.remedy}" if error.remedy else error.summary
        return self._reader(product).trouble

    def _reader(self, product: str) -> GenerationReader[ProductBank]:
        with self._lock:
            if product not in self._readers:
                self._readers[product] = bank_reader(self._settings, product)
            return self._readers[product]
