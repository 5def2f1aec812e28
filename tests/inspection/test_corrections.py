"""Corrections while the storage hangs: a person gets an answer soon, nothing is lost, and nothing is done twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest

from core.api_schema import Correction, Inspection, Verdict
from core.inference.bulkhead import Bulkhead
from core.inference.database.engine import Database
from core.inference.events.ids import new_id
from core.inference.inspection import corrections
from core.inference.inspection.corrections import Corrections
from core.inference.inspection.inspections import InspectionStore
from core.inference.inspection.layout import Layout
from core.inference.inspection.picture_store import PictureStore
from core.inference.settings import ServiceSettings
from core.inference.storage.bucket import Bucket
from core.inference.storage.model import StorageDown
from tests.support import PATIENCE, SQLITE_ALONE, until
from tests.support.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.support.object_storage import rclone_s3

pytestmark = SQLITE_ALONE

NORMAL = Correction(verdict=Verdict.NORMAL)
SCRATCH = Correction(verdict=Verdict.DEFECT, defect_type="scratch")


@dataclass
class Plant:
    """Corrections over a bucket behind a proxy whose first upload waits until `go_on` is set."""

    corrections: Corrections
    inspections: InspectionStore
    pictures: PictureStore
    storage: Bucket
    proxy: FaultyProxy
    go_on: threading.Event
    changes: list[None]

    def inspected(self) -> str:
        ident = new_id()
        now = datetime.now(timezone.utc)
        values = {"id": ident, "product": "plate", "at": now, "score": 0.2, "threshold": 0.5, "bank": 1}
        kept = self.pictures.keep(ident, b"\xff\xd8 a picture")
        inspection = Inspection.model_validate({**values, "verdict": Verdict.NORMAL})
        self.inspections.add(inspection, heat_map=b"", kept=kept, source="")
        return ident

    def corrected(self, ident: str) -> Verdict | None:
        return self.inspections.get(ident).inspection.corrected

    def keys(self) -> list[str]:
        return sorted(entry.key for entry in self.storage.list_objects())


@pytest.fixture
def plant(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    (tmp_path / "buckets" / "pictures").mkdir(parents=True)
    go_on = threading.Event()
    monkeypatch.setattr(corrections, "PATIENCE", 0.2)
    with (
        rclone_s3(tmp_path / "buckets") as server,
        faulty_proxy(server.port, Fault(("PUT ",), held=go_on)) as proxy,
    ):
        inspections, pictures = InspectionStore(database), PictureStore(ServiceSettings(data=tmp_path / "data"))
        storage = Bucket(server.address("pictures", port=proxy.port), silence=PATIENCE)
        changes: list[None] = []
        subject = Corrections(inspections, pictures, storage, Layout(), lambda: changes.append(None))
        try:
            yield Plant(subject, inspections, pictures, storage, proxy, go_on, changes)
        finally:
            go_on.set()


def test_a_correction_that_the_storage_holds_up_is_answered_and_goes_on(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ident = plant.inspected()
    with pytest.raises(StorageDown, match="the correction goes on"):
        plant.corrections.correct(ident, SCRATCH, "anna")
    assert plant.corrected(ident) is None
    plant.go_on.set()
    until(lambda: plant.corrected(ident))
    until(lambda: plant.changes)
    monkeypatch.setattr(corrections, "PATIENCE", PATIENCE)
    again = plant.corrections.correct(ident, SCRATCH, "anna")
    assert (again.corrected, again.corrected_type, again.corrected_by) == (Verdict.DEFECT, "scratch", "anna")
    assert plant.keys() == [f"defect/plate/scratch/{ident}.jpg"]
    assert plant.proxy.count("PUT ") == 1
    assert plant.inspections.leftovers() == {}


def test_a_correction_that_waits_too_long_for_another_one_changes_nothing(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, waiting = plant.inspected(), plant.inspected()
    with pytest.raises(StorageDown, match="goes on"):
        plant.corrections.correct(held, NORMAL, "anna")
    with pytest.raises(StorageDown, match="nothing was changed"):
        plant.corrections.correct(waiting, NORMAL, "bert")
    with pytest.raises(StorageDown, match="nothing was changed"):
        plant.corrections.correct(held, SCRATCH, "bert")
    plant.go_on.set()
    monkeypatch.setattr(corrections, "PATIENCE", PATIENCE)
    last = plant.inspected()
    plant.corrections.correct(last, NORMAL, "carl")
    assert [plant.corrected(ident) for ident in (held, waiting, last)] == [Verdict.NORMAL, None, Verdict.NORMAL]
    assert plant.keys() == sorted(f"normal/plate/{ident}.jpg" for ident in (held, last))


def test_a_picture_that_was_removed_from_the_storage_is_put_back_by_the_same_correction(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.go_on.set()
    monkeypatch.setattr(corrections, "PATIENCE", PATIENCE)
    ident = plant.inspected()
    plant.corrections.correct(ident, NORMAL, "anna")
    plant.storage.delete_file(f"normal/plate/{ident}.jpg")
    plant.corrections.correct(ident, NORMAL, "anna")
    assert plant.keys() == [f"normal/plate/{ident}.jpg"]


def test_a_correction_that_gets_no_thread_holds_up_no_other(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    plant.go_on.set()
    monkeypatch.setattr(corrections, "PATIENCE", PATIENCE)
    ident = plant.inspected()
    with monkeypatch.context() as full:
        full.setattr(Bulkhead, "submit", refuse)
        with pytest.raises(RuntimeError):
            plant.corrections.correct(ident, NORMAL, "anna")
    assert plant.corrections.correct(ident, NORMAL, "anna").corrected is Verdict.NORMAL
