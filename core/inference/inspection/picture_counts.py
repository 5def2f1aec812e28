"""Counts the pictures of all products in the storage, in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone

from core.errors import XaivaError
from core.inference.inspection.layout import DEFECT, NORMAL, Layout, is_ignored
from core.inference.storage.model import NameFinding, ObjectStorage

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 60.0  # between two counts
PAUSE_FACTOR = 10  # the pause is at least this many times as long as the count
STOP_SECONDS = 1.0


@dataclass
class PictureCount:
    """The pictures of one product."""

    normal: int = 0
    defects: Counter[str] = field(default_factory=Counter)
    """By type of defect."""
    newest_normal: datetime | None = None
    """When the newest normal picture was changed."""


@dataclass(frozen=True)
class Counted:
    """The result of a count. After a failure `products` are those of the last success, for their names."""

    products: dict[str, PictureCount] = field(default_factory=dict)
    at: datetime | None = None
    trouble: str = ""


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
        products: dict[str, PictureCount] = {}
        try:
            for subject in (NORMAL, DEFECT):
                self._add(products, subject)
            self.newest = Counted(products, datetime.now(timezone.utc))
        except XaivaError as error:
            self.newest = Counted(self.newest.products, self.newest.at, error.summary)
        return self.newest

    def _add(self, products: dict[str, PictureCount], subject: str) -> None:
        for found in self._storage.list_objects(self._layout.prefix(subject)):
            if self._stopping:
                return
            picture = None if isinstance(found, NameFinding) else self._layout.parse_key(found.key)
            if picture is None or isinstance(found, NameFinding) or is_ignored(found.key):
                continue
            count = products.setdefault(picture.product, PictureCount())
            if subject == DEFECT:
                count.defects[picture.label] += 1
                continue
            count.normal += 1
            if found.modified and (count.newest_normal is None or found.modified > count.newest_normal):
                count.newest_normal = found.modified

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
