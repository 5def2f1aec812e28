"""The settings of products, in the database and in memory."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.api_schema import ProductSettings
from core.errors import InputError, TransientError
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.database.models import ProductRow
from core.inference.settings import ServiceSettings
from core.validation_errors import every_problem

logger = logging.getLogger(__name__)


class UnknownProduct(InputError):
    """There are neither pictures nor a memory bank nor settings of that product."""


@dataclass(frozen=True)
class StoredProduct:
    """A product's settings. Slots of its schedule up to `rebuilt` count as done."""

    settings: ProductSettings
    rebuilt: datetime


class ProductStore:
    """The products whose settings were changed; all others have the default settings. Thread-safe.

    Only this service writes the table, so reading needs no database once it was loaded.
    """

    def __init__(self, database: Database) -> None:
        """Load all settings. Raises DatabaseError."""
        self._database = database
        self._changing = threading.Lock()
        self._products = _load(database)

    def names(self) -> list[str]:
        """The products with stored settings."""
        return sorted(self._products)

    def settings(self, product: str) -> ProductSettings:
        """The settings of a product, stored or default."""
        stored = self._products.get(product)
        return stored.settings if stored else ProductSettings()

    def stored(self) -> dict[str, StoredProduct]:
        """All products with stored settings."""
        return dict(self._products)

    def put(self, product: str, settings: ProductSettings) -> None:
        """Store a product's settings. A new schedule catches up nothing of the past. Raises DatabaseError."""
        with self._changing:
            stored = self._products.get(product)
            same = stored is not None and stored.settings.rebuild == settings.rebuild
            rebuilt = stored.rebuilt if stored and same else datetime.now(timezone.utc)
            self._write(product, StoredProduct(settings, rebuilt))

    def mark_rebuilt(self, product: str, slot: datetime) -> None:
        """The schedule's slot counts as done. Raises DatabaseError."""
        with self._changing:
            stored = self._products.get(product)
            if stored is not None and stored.rebuilt < slot:
                self._write(product, StoredProduct(stored.settings, slot))

    def _write(self, product: str, stored: StoredProduct) -> None:
        content = stored.settings.model_dump(mode="json")

        def work(session: Session) -> None:
            session.merge(ProductRow(name=product, settings=content, rebuilt=stored.rebuilt))

        self._database.write(work)
        self._products[product] = stored


def read_product_settings(settings: ServiceSettings) -> dict[str, ProductSettings]:
    """The stored settings by product, for a job in a process of its own.

    Raises TransientError when the database does not answer.
    """
    try:
        with closing(Database(settings.database)) as database:
            return {name: stored.settings for name, stored in _load(database).items()}
    except DatabaseError as error:
        raise TransientError(error.what, error.why, error.remedy) from error


def unknown_product(name: str) -> UnknownProduct:
    """The error for a product of which nothing is known."""
    why = "there are no pictures, no memory bank and no settings of a product with that name"
    return UnknownProduct(f"Product {name}", why, "list the known ones with: xaiva product list")


def _load(database: Database) -> dict[str, StoredProduct]:
    with database.read() as session:
        rows = session.execute(select(ProductRow.name, ProductRow.settings, ProductRow.rebuilt)).all()
    products = {}
    for name, settings, rebuilt in rows:
        try:
            products[name] = StoredProduct(ProductSettings.model_validate(settings), rebuilt)
        except ValidationError as error:
            why = "; ".join(every_problem(error))
            logger.error("product %s has its default settings: the stored ones cannot be read: %s", name, why)
    return products
