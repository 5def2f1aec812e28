"""Counts the pictures of all products in the storage, in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone

from typing_extensions import Self

from core.errors import XaivaError
from core.inference.inspection.layout import DEFECT, NORMAL, Layout, is_ignored
from core.inference.inspection.listed_pictures import ListedPictures
from core.inference.storage.model import NameFinding, ObjectStorage

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 60.0  # between two counts
PAUSE_FACTOR = 10  # the pause is at least this many times as long as the count
STOP_SECONDS = 1.0


@dataclass
class PictureCount:
    """The pictures of one product."""

    normal: ListedPictures
    defect: ListedPictures
    defect_types: Counter[str] = field(default_factory=Counter)

    @classmethod
    def empty(cls, begun: float) -> Self:
        """No pictures yet, of a listing that began then."""
        return cls(ListedPictures(begun), ListedPictures(begun))


@dataclass(frozen=True)
class Counted:
    """The result of a count. After a failure `products` are those of the last success, for their names."""

    products: dict[str, PictureCount] = field(default_factory=dict)
    begun: float = 0.0
    """Unix time; 0 until the first count."""
    trouble: str = ""

    @property
    def at(self) -> datetime | None:
        """When the count began: pictures that came later may be missing."""
        return datetime.fromtimestamp(self.begun, timezone.utc) if self.begun else None

    def product(self, name: str) -> PictureCount | None:
        """The pictures of a product; None when they are not known."""
        return self.products.get(name, PictureCount.empty(self.begun)) if self._is_known else None

    def listed(self, subject: str) -> ListedPictures | None:
        """The NORMAL or DEFECT pictures of all products; None when they are not known."""
        counts = [count.normal if subject == NORMAL else count.defect for count in self.products.values()]
        return ListedPictures(self.begun).joined(counts) if self._is_known else None

    @property
    def _is_known(self) -> bool:
        return bool(self.begun) and not self.trouble


class PictureCounts:
    """A thread that lists the storage from time to time. The newest result can be read at once."""

    def __init__(self, storage: ObjectStorage, layout: Layout) -> None:
        self._storage = storage
        self._layout = layout
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.newest = Counted()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="picture-counts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)  # a storage that hangs is not waited for

    def refresh(self) -> None:
        """Count soon, because something changed."""
        self._wake.set()

    def count(self) -> Counted:
        """Count now."""
        counted = Counted(begun=time.time())
        try:
            for subject in (NORMAL, DEFECT):
                self._add(counted, subject)
        except XaivaError as error:
            counted = Counted(self.newest.products, self.newest.begun, error.summary)
        if not self._stopping:
            self.newest = counted
        return self.newest

    def _add(self, counted: Counted, subject: str) -> None:
        for found in self._storage.list_objects(self._layout.prefix(subject)):
            if self._stopping:
                return
            picture = None if isinstance(found, NameFinding) else self._layout.parse_key(found.key)
            if picture is None or isinstance(found, NameFinding) or is_ignored(found.key):
                continue
            count = counted.products.setdefault(picture.product, PictureCount.empty(counted.begun))
            if subject == NORMAL:
                count.normal.add(found)
            else:
                count.defect.add(found)
                count.defect_types[picture.label] += 1

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            began = time.monotonic()
            try:
                before = self.newest.trouble
                now = self.count().trouble
                if now and now != before:
                    logger.warning("the pictures of products cannot be counted: %s", now)
            except Exception:
                logger.exception("counting the pictures of products failed")
            self._wake.wait(max(PAUSE_SECONDS, PAUSE_FACTOR * (time.monotonic() - began)))
