"""What is known of each product and of both indexes: counts, generations, thresholds, jobs, and what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from core.api_schema import (
    IndexStatus,
    JobQuery,
    Product,
    Products,
    ProductSettings,
)
from core.errors import XaivaError
from core.inference.database.errors import DatabaseError
from core.inference.inspection.banks import BankShelf, BankStatus
from core.inference.inspection.index_pair import IndexPair
from core.inference.inspection.inspections import InspectionStore, ProductCounts
from core.inference.inspection.layout import NORMAL, Layout
from core.inference.inspection.listed_pictures import listing_trouble
from core.inference.inspection.picture_counts import Counted, PictureCount, PictureCounts
from core.inference.inspection.products import ProductStore, unknown_product
from core.inference.jobs.service import JobService

KEPT_SECONDS = 3.0  # how long the numbers from the database and the ledger may be used
KEPT_FACTOR = 20  # … but at least so many times as long as it took to read them: a table may have millions of rows
RECENT_JOBS = 200  # in which the newest job of a product is looked for


class Catalogue:
    """Answers from memory and the local disk; it never waits for the storage. Thread-safe."""

    def __init__(
        self,
        products: ProductStore,
        inspections: InspectionStore,
        counts: PictureCounts,
        banks: BankShelf,
        indexes: IndexPair,
        jobs: JobService,
        storage: str,
        layout: Layout,
    ) -> None:
        self._products = products
        self._inspections = inspections
        self._counts = counts
        self._banks = banks
        self._indexes = indexes
        self._jobs = jobs
        self._storage = storage
        self._layout = layout
        self._lock = threading.Lock()
        self._numbers: tuple[dict[str, ProductCounts], dict[tuple[str, str], int]] = ({}, {})
        self._numbers_until = 0.0

    def knows(self, product: str) -> bool:
        """Whether there are pictures, a memory bank or settings of that product."""
        counted, stored = self._counts.newest.products, self._products.stored()
        return product in stored or product in counted or product in self._banks.products()

    def check(self, product: str) -> None:
        """Raise UnknownProduct unless the product is known."""
        if not self.knows(product):
            raise unknown_product(product)

    def products(self) -> Products:
        """Everything. Raises DatabaseError."""
        counted = self._counts.newest
        return Products(
            products=[self._product(name, counted) for name in self._names()],
            indexes=self._index_statuses(counted),
            storage=self._storage,
            storage_trouble=counted.trouble,
            counted=counted.at,
            normal_folder=self._layout.normal,
            defect_folder=self._layout.defect,
        )

    def product(self, name: str) -> Product:
        """One product. Raises UnknownProduct, DatabaseError."""
        self.check(name)
        return self._product(name, self._counts.newest)

    def _names(self) -> list[str]:
        names = {*self._products.names(), *self._counts.newest.products, *self._banks.products()}
        return sorted(names)

    def _product(self, name: str, counted: Counted) -> Product:
        inspected, jobs = self._current_numbers()
        settings, bank = self._products.settings(name), self._banks.status(name)
        pictures = counted.product(name)
        of_product = inspected.get(name, ProductCounts())
        return Product(
            name=name,
            normal=pictures.normal.count if pictures else None,
            defect=pictures.defect.count if pictures else None,
            defect_types=dict(sorted(pictures.defect_types.items())) if pictures else {},
            settings=settings,
            threshold=bank.threshold if settings.threshold is None else settings.threshold,
            bank=bank.current,
            previous_bank=bank.previous,
            last_job=max(jobs.get(("banks", name), 0), jobs.get(("banks", ""), 0)),
            inspected=of_product.inspected,
            defective=of_product.defective,
            last_inspection=of_product.last,
            trouble=list(_trouble(bank, settings, pictures)),
        )

    def _index_statuses(self, counted: Counted) -> list[IndexStatus]:
        _, jobs = self._current_numbers()
        return [
            index.model_copy(update={"last_job": jobs.get(("index", index.name), 0)})
            for index in self._indexes.statuses(counted)
        ]

    def _current_numbers(self) -> tuple[dict[str, ProductCounts], dict[tuple[str, str], int]]:
        """Inspections by product, and the newest job by kind and subject. Raises DatabaseError."""
        with self._lock:
            began = time.monotonic()
            if began >= self._numbers_until:
                self._numbers = self._inspections.counts(), self._newest_jobs()
                took = time.monotonic() - began
                self._numbers_until = began + max(KEPT_SECONDS, KEPT_FACTOR * took)
            return self._numbers

    def _newest_jobs(self) -> dict[tuple[str, str], int]:
        newest: dict[tuple[str, str], int] = {}
        try:
            for kind in ("banks", "index"):
                for job in self._jobs.page(JobQuery(kind=kind, limit=RECENT_JOBS)).jobs:
                    newest.setdefault((job.kind, job.subject), job.id)
        except DatabaseError:
            raise
        except XaivaError:
            return {}  # the list of jobs says what is wrong with their ledger
        return newest


def _trouble(bank: BankStatus, settings: ProductSettings, pictures: PictureCount | None) -> Iterable[str]:
    if bank.trouble:
        yield bank.trouble
    if bank.current is None and not bank.trouble:
        enough = pictures is None or pictures.normal.count
        remedy = "rebuild it" if enough else "put normal pictures into the storage, then rebuild it"
        yield f"it has no memory bank: {remedy}"
    if bank.cut is not None and bank.cut != (settings.region, settings.tiles):
        yield "its memory bank still has the old region and tiles: rebuild it"
    if bank.current is not None:
        yield from listing_trouble(NORMAL, "its memory bank", bank.listed, pictures.normal if pictures else None)
