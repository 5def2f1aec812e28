"""The products that have pictures in the storage, and the folders in which those lie."""

from __future__ import annotations

import threading

from core.inference.inspection.layout import NORMAL, Layout, is_ignored, product_name
from core.inference.storage.model import NameFinding, ObjectStorage
from core.progress import Progress, stage, stop_if_cancelled

_POLL_SECONDS = 0.1


def list_products(storage: ObjectStorage, layout: Layout, progress: Progress) -> list[str]:
    """The products that have normal pictures, sorted. Raises StorageDown, StorageRefused, Cancelled."""
    listing = _Listing(storage, layout)
    with stage(progress, "list", f"List {storage.shown}"):
        listing.start()
        while not listing.over.wait(_POLL_SECONDS):
            stop_if_cancelled(progress)
        if listing.error is not None:
            raise listing.error
    return sorted(listing.products)


def product_folders(storage: ObjectStorage, parent: str, product: str) -> list[str]:
    """The folders of a product below `parent`, each with `/` at its end: its own name, and other spellings of it.

    Raises the errors of the storage.
    """
    found, cursor = {f"{parent}{product}/"}, ""
    while True:
        page = storage.list_page(parent, cursor=cursor, level=True)
        found |= {folder for folder in page.folders if product_name(folder[len(parent) : -1]) == product}
        cursor = page.cursor
        if not cursor:
            return sorted(found)


class _Listing:
    """A listing in a thread of its own, because a server that hangs cannot be interrupted."""

    def __init__(self, storage: ObjectStorage, layout: Layout) -> None:
        self._storage = storage
        self._layout = layout
        self.products: set[str] = set()
        self.error: BaseException | None = None
        self.over = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="list-products", daemon=True).start()

    def _run(self) -> None:
        try:
            for entry in self._storage.list_objects(self._layout.prefix(NORMAL)):
                place = None if isinstance(entry, NameFinding) else self._layout.parse_key(entry.key)
                if place is not None and not is_ignored(place.key):
                    self.products.add(place.product)
        except BaseException as error:
            self.error = error
        finally:
            self.over.set()
