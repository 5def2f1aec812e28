"""Corrections: a person's verdict puts the picture into the storage, where the next rebuild finds it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from pathlib import PurePath

from core.api_schema import Correction, Inspection, Verdict
from core.errors import InputError, XaivaError
from core.inference.bulkhead import Bulkhead
from core.inference.database.errors import DatabaseError
from core.inference.inspection.inspections import InspectionStore
from core.inference.inspection.layout import Layout
from core.inference.inspection.picture_store import PictureStore
from core.inference.storage.model import KeyConflict, NoObject, ObjectStorage, StorageDown

logger = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds that a person waits for the change before, and for this one; a slow line takes longer


class Corrections:
    """Corrects inspections, one at a time.

    What an interruption leaves in the storage is announced in the database before, and deleted by `clean_up`.
    """

    def __init__(
        self,
        inspections: InspectionStore,
        pictures: PictureStore,
        storage: ObjectStorage,
        layout: Layout,
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called when pictures in the storage have changed."""
        self._inspections = inspections
        self._pictures = pictures
        self._storage = storage
        self._layout = layout
        self._on_change = on_change
        self._changing = threading.Lock()
        self._threads = Bulkhead("Corrections", 1, 1)  # one works, and the one before may be about to end

    def correct(self, ident: str, correction: Correction, by: str) -> Inspection:
        """Store the verdict of the person `by`, and move the picture to where it belongs; again changes nothing.

        Raises UnknownInspection, PictureGone, DatabaseError, and the errors of the storage: then nothing has changed.
        A storage that does not answer in time is StorageDown as well, and this correction goes on without its caller.
        """
        if not self._changing.acquire(timeout=PATIENCE):
            why = f"the change before it still waits for {self._storage.shown}; nothing was changed"
            raise StorageDown(f"Inspection {ident}", why, "correct it again later")
        try:
            work = self._threads.submit(partial(self._correct, ident, correction, by))
        except BaseException:  # without a thread `_correct` does not release it
            self._changing.release()
            raise
        wait([work], PATIENCE)
        if not work.done():
            work.add_done_callback(_log_failure)
            why = f"{self._storage.shown} answers slowly or not at all; the correction goes on"
            remedy = "look at it in some minutes: if nothing has changed, correct it again"
            raise StorageDown(f"Inspection {ident}", why, remedy)
        return work.result()

    def _correct(self, ident: str, correction: Correction, by: str) -> Inspection:
        """Correct it, and release the lock at the end."""
        try:
            stored = self._inspections.get(ident)
            key = self._key(stored.inspection.product, correction, stored.kept)
            picture = self._pictures.path(stored.kept)
            if stored.leftover_key not in ("", key):
                self._delete(ident, stored.leftover_key)
            before = stored.corrected_key
            if key != before:
                self._inspections.announce(ident, key)
            if key != before or not self._is_stored(key):
                self._storage.upload_file(key, picture)
            leftover = before if before != key else ""
            self._inspections.correct(ident, correction, by, key, leftover)
            if leftover:
                with suppress(XaivaError):  # `clean_up` tries again
                    self._delete(ident, leftover)
            self._on_change()
            return self._inspections.get(ident).inspection
        finally:
            self._changing.release()

    def clean_up(self) -> None:
        """Delete from the storage what interrupted corrections left there. Raises DatabaseError."""
        for ident in self._inspections.leftovers():
            with self._changing:
                key = self._inspections.get(ident).leftover_key
                try:
                    if key:
                        self._delete(ident, key)
                except DatabaseError:
                    raise
                except XaivaError as error:
                    logger.debug("%s stays in the storage for now: %s", key, error.summary)
                    if isinstance(error, StorageDown):  # the others would fail, too
                        return

    def _is_stored(self, key: str) -> bool:
        try:
            self._storage.stat_object(key)
        except NoObject:
            return False
        return True

    def _delete(self, ident: str, key: str) -> None:
        with suppress(InputError, KeyConflict):  # then no object can have that key, and nothing was uploaded
            self._storage.delete_file(key)
        self._inspections.leftover_deleted(ident, key)

    def _key(self, product: str, correction: Correction, kept: str) -> str:
        """Where the picture belongs; its name is that of the inspection, so that a repetition replaces it."""
        if correction.verdict is Verdict.NORMAL:
            return self._layout.normal_prefix(product) + PurePath(kept).name
        return self._layout.defect_prefix(product, correction.defect_type) + PurePath(kept).name


def _log_failure(work: Future[Inspection]) -> None:
    """Say in the log what the person who corrected was not told any more."""
    if error := work.exception():
        logger.warning("A correction failed, and nothing was changed: %s", error)
