"""Visual inspection as a whole: assembles its parts, inspects a picture, and keeps what came out."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from core.api_schema import (
    Correction,
    Event,
    InspectFolderStatus,
    Inspection,
    Job,
    JobRequest,
    ProductSettings,
    ScoreHistogram,
    Verdict,
)
from core.api_schema.event_types import DEFECT, INSPECTION
from core.errors import XaivaError
from core.inference.database.engine import Database
from core.inference.events.ids import new_id
from core.inference.inspection.banks import BankShelf
from core.inference.inspection.catalogue import Catalogue
from core.inference.inspection.chores import Chores
from core.inference.inspection.corrections import Corrections
from core.inference.inspection.drop_folder import DropFolder
from core.inference.inspection.index_pair import IndexPair
from core.inference.inspection.inspection_log import InspectionLog
from core.inference.inspection.inspection_retention import InspectionRetention
from core.inference.inspection.inspections import InspectionStore
from core.inference.inspection.inspector import Inspector, Measured
from core.inference.inspection.layout import DEFECT as DEFECT_INDEX
from core.inference.inspection.layout import NORMAL, Layout
from core.inference.inspection.picture_counts import PictureCounts
from core.inference.inspection.picture_store import PictureStore
from core.inference.inspection.pictures import JPEG_START, encode_jpeg, encode_map, shrink
from core.inference.inspection.product_folders import product_folders
from core.inference.inspection.products import ProductStore
from core.inference.inspection.rebuild_schedule import RebuildTimer
from core.inference.jobs.service import JobService
from core.inference.model_pool.pool import ModelPool
from core.inference.settings import ServiceSettings
from core.inference.storage.model import ObjectStorage

logger = logging.getLogger(__name__)

SNAPSHOT_WIDTH = 1920  # of an event's picture, unless it is a JPEG already
SCHEDULE = "the schedule"  # who asks for the rebuilds of schedules

OnDefect = Callable[[Event, str, bytes], None]
"""Starts the event of a defect: the event, its flow, its picture as JPEG."""


class InspectionService:
    """Everything behind the routes of products and inspections. Thread-safe."""

    def __init__(
        self,
        settings: ServiceSettings,
        database: Database,
        pool: ModelPool,
        storage: ObjectStorage,
        jobs: JobService,
        on_defect: OnDefect,
    ) -> None:
        layout = self._layout = Layout.of(settings)
        self._storage = storage
        self._jobs = jobs
        self._on_defect = on_defect
        self._products = ProductStore(database)
        self._banks = BankShelf(settings)
        self._indexes = IndexPair(settings)
        self._inspector = Inspector(settings, pool, self._banks, self._indexes)
        self.inspections = InspectionStore(database)
        self.pictures = PictureStore(settings)
        self._log = InspectionLog(self.inspections, settings.inspection_folder / "waiting")
        self._counts = PictureCounts(storage, layout)
        self._corrections = Corrections(self.inspections, self.pictures, storage, layout, self.count_pictures)
        self.catalogue = Catalogue(
            self._products, self.inspections, self._counts, self._banks, self._indexes, jobs, storage.shown, layout
        )
        self.chores: dict[str, Callable[[], object]] = {
            "the retention of inspections": InspectionRetention(self.pictures, self.inspections, settings).run_once,
            "storing what waited for the database": self._log.catch_up,
            "deleting what corrections left behind": self._corrections.clean_up,
        }
        self._chores = Chores(self.chores)
        self._timer = RebuildTimer(self._products, self._rebuild_by_schedule, ZoneInfo(settings.zone))
        folder = settings.inspect_folder
        self._drop_folder = DropFolder(folder, self._inspect_file) if folder else None

    def start(self) -> None:
        for part in (self._counts, self._chores, self._timer, self._drop_folder):
            if part is not None:
                part.start()

    def stops(self) -> dict[str, Callable[[], object]]:
        """What stops each part, by what it is; all at once."""
        parts: dict[str, Callable[[], object]] = {
            "the counts of pictures": self._counts.stop,
            "the chores of inspection": self._chores.stop,
            "the schedules of rebuilds": self._timer.stop,
        }
        return {**parts, "the drop folder": self._drop_folder.stop} if self._drop_folder else parts

    def folder_status(self) -> InspectFolderStatus:
        """The state of the drop folder."""
        return self._drop_folder.status() if self._drop_folder else InspectFolderStatus()

    def refused(self) -> int:
        """How many inspections were set aside because they cannot be stored."""
        return self._log.refused

    def count_pictures(self) -> None:
        """Count the pictures in the storage soon."""
        self._counts.refresh()

    # -- products -----------------------------------------------------------------------------------------------------

    def check(self, product: str) -> None:
        """Raise UnknownProduct unless the product is known."""
        self.catalogue.check(product)

    def find(self, product: str) -> None:
        """As `check`, but look into the storage for a product that was not counted yet. Raises the storage's errors."""
        if self.catalogue.knows(product):
            return
        for subject in (NORMAL, DEFECT_INDEX):
            for folder in product_folders(self._storage, self._layout.prefix(subject), product):
                if next(iter(self._storage.list_objects(folder)), None) is not None:
                    self.count_pictures()
                    return
        self.catalogue.check(product)

    def settings(self, product: str) -> ProductSettings:
        """The settings of a product. Raises UnknownProduct."""
        self.check(product)
        return self._products.settings(product)

    def set_settings(self, product: str, settings: ProductSettings) -> ProductSettings:
        """Store a product's settings. Raises as `find`, and DatabaseError."""
        self.find(product)
        self._products.put(product, settings)
        return settings

    def flow_of(self, product: str) -> str:
        """The flow of a product's events."""
        return self._products.settings(product).flow

    def histogram(self, product: str) -> ScoreHistogram:
        """The scores that the product's memory bank measured. Raises UnknownProduct, NoBank."""
        self.check(product)
        histogram = self._banks.histogram(product)
        threshold = self._products.settings(product).threshold
        return histogram if threshold is None else histogram.model_copy(update={"threshold": threshold})

    def start_job(self, kind: str, subject: str, by: str, *, force: bool = False, request_key: str = "") -> Job:
        """Start a job, as `JobService.request`."""
        request = JobRequest(kind=kind, subject=subject, options={"force": True} if force else {})
        return self._jobs.request(request, by, request_key)

    def _rebuild_by_schedule(self, product: str, slot: str) -> None:
        """Start the rebuild of the product's memory bank, and of both indexes once for all products of that time."""
        self.start_job("banks", product, SCHEDULE, request_key=f"rebuild {product} {slot}")
        for index in (NORMAL, DEFECT_INDEX):
            try:
                self.start_job("index", index, SCHEDULE, request_key=f"rebuild index {index} {slot}")
            except XaivaError as error:  # such as one that is live already
                logger.info("the index of %s pictures is not rebuilt at %s: %s", index, slot, error.summary)

    # -- inspections --------------------------------------------------------------------------------------------------

    def inspect(
        self, product: str, picture: bytes, *, part: str = "", neighbours: int, heat_map: bool, source: str = ""
    ) -> Inspection:
        """Inspect a picture and keep what came out; a defect becomes an event if the product's settings say so.

        Raises UnknownProduct, NoBank, BadPicture, and the errors of the model pool.
        """
        began = time.monotonic()
        self.check(product)
        settings = self._products.settings(product)
        measured = self._inspector.measure(product, picture, neighbours)
        threshold = measured.threshold if settings.threshold is None else settings.threshold
        ident, why_not_kept = new_id(), ""
        measured_at = time.monotonic()
        try:
            kept = self.pictures.keep(ident, picture)
        except XaivaError as error:
            logger.error("the picture of inspection %s is not kept: %s", ident, error.summary)
            kept, why_not_kept = "", f"the picture is not kept: {error.why}"
        measured.seconds["keep"] = time.monotonic() - measured_at
        inspection = Inspection(
            id=ident,
            product=product,
            part=part,
            at=datetime.now(timezone.utc),
            score=measured.score,
            threshold=threshold,
            verdict=Verdict.DEFECT if measured.score >= threshold else Verdict.NORMAL,
            bank=measured.bank,
            normal_index=measured.normal_index,
            defect_index=measured.defect_index,
            normals=measured.normals,
            defects=measured.defects,
            picture=bool(kept),
            explanation="; ".join(text for text in (measured.explanation, why_not_kept) if text),
        )
        if inspection.verdict is Verdict.DEFECT and settings.events:
            inspection = inspection.model_copy(
                update={"event": self._start_event(inspection, measured, settings.flow, picture)}
            )
        seconds = {**measured.seconds, "total": time.monotonic() - began}
        inspection = inspection.model_copy(
            update={"seconds": {name: round(value, 4) for name, value in seconds.items()}}
        )
        image = encode_map(measured.map)
        if not self._log.add(inspection, heat_map=image, kept=kept, source=source):
            inspection = self._lost(inspection, kept)
        return inspection.model_copy(update={"heat_map": base64.b64encode(image).decode()}) if heat_map else inspection

    def _lost(self, inspection: Inspection, kept: str) -> Inspection:
        """The answer of an inspection that could not be stored: the line still needs its verdict."""
        if kept:
            self.pictures.drop(kept)
        texts = (inspection.explanation, "the inspection is not stored: neither the database nor the disk takes it")
        explanation = "; ".join(text for text in texts if text)
        return inspection.model_copy(update={"id": "", "picture": False, "explanation": explanation})

    def correct(self, ident: str, correction: Correction, by: str) -> Inspection:
        """Store a person's verdict. Raises as `Corrections.correct`."""
        return self._corrections.correct(ident, correction, by)

    def _start_event(self, inspection: Inspection, measured: Measured, flow: str, picture: bytes) -> str:
        """Start the event of a defect; returns its id."""
        event = Event(
            id=new_id(),
            camera=INSPECTION,
            camera_name=inspection.product,
            product=inspection.product,
            type=DEFECT,
            detector=INSPECTION,
            started=inspection.at,
            decided=inspection.at,
            ended=inspection.at,
            score=inspection.score,
            threshold=inspection.threshold,
            note=f"part {inspection.part}" if inspection.part else "",
        )
        is_jpeg = picture.startswith(JPEG_START)
        self._on_defect(event, flow, picture if is_jpeg else encode_jpeg(shrink(measured.picture, SNAPSHOT_WIDTH)))
        return event.id

    def _inspect_file(self, product: str, picture: bytes, part: str, source: str) -> Inspection:
        """Inspect a picture of the drop folder, unless a crash came between its inspection and its result."""
        known = self._log.of_source(source)
        return known or self.inspect(product, picture, part=part, neighbours=3, heat_map=False, source=source)
