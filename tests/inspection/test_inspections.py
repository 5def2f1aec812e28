"""Inspections and products in the database, and the pictures that are kept of them."""

from __future__ import annotations

import os
import threading
from datetime import datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from core.api_schema import (
    Correction,
    Inspection,
    InspectionQuery,
    Neighbour,
    ProductSettings,
    RebuildSchedule,
    Region,
    Verdict,
)
from core.errors import InputError
from core.inference.database.engine import Database
from core.inference.database.models import InspectionRow, ProductRow
from core.inference.events.ids import new_id
from core.inference.inspection import chores
from core.inference.inspection.chores import Chores
from core.inference.inspection.inspection_retention import InspectionRetention
from core.inference.inspection.inspections import InspectionStore, UnknownInspection
from core.inference.inspection.picture_store import PictureGone, PictureStore
from core.inference.inspection.products import ProductStore, read_product_settings
from core.inference.settings import ServiceSettings

NOW = datetime.now(timezone.utc)
NEIGHBOUR = Neighbour(key="defect/나사/긁힘/1.png", label="긁힘", product="나사", similarity=0.9)


@pytest.fixture
def store(database: Database) -> InspectionStore:
    return InspectionStore(database)


def add(store: InspectionStore, **fields: Any) -> Inspection:
    kept, source = fields.pop("kept", ""), fields.pop("source", "")
    values = {"id": new_id(), "product": "screw", "at": NOW, "score": 0.2, "threshold": 0.5, "bank": 1}
    inspection = Inspection.model_validate({**values, "verdict": Verdict.NORMAL, **fields})
    store.add(inspection, heat_map=b"PNG", kept=kept, source=source)
    return inspection


def test_an_inspection_is_read_as_it_was_stored(store: InspectionStore) -> None:
    stored = add(store, defects=[NEIGHBOUR], seconds={"total": 0.1}, part="lot 7", explanation="no index")
    assert store.get(stored.id).inspection == stored
    assert store.heat_map(stored.id) == b"PNG"
    with pytest.raises(UnknownInspection):
        store.get(new_id())
    with pytest.raises(UnknownInspection):
        store.heat_map(new_id())


def test_pages_have_every_inspection_once_newest_first(store: InspectionStore) -> None:
    added = [add(store, at=NOW + timedelta(seconds=number // 2)) for number in range(7)]
    query, seen = InspectionQuery(limit=3), []
    while True:
        page = store.page(query)
        seen += [inspection.id for inspection in page.inspections]
        if not page.next:
            break
        query = query.model_copy(update={"cursor": page.next})
    assert seen == [inspection.id for inspection in sorted(added, key=lambda one: (one.at, one.id), reverse=True)]
    with pytest.raises(InputError, match="Cursor"):
        store.page(InspectionQuery(cursor="nonsense"))


def test_filters_are_combined(store: InspectionStore) -> None:
    wanted = add(store, product="나사", part="7", verdict=Verdict.DEFECT, score=0.9)
    store.correct(wanted.id, Correction(verdict=Verdict.NORMAL, note="dust"), "anna", "normal/나사/x.png", "")
    add(store, product="나사", part="8")
    add(store, at=NOW - timedelta(days=1))

    def found(**fields: Any) -> int:
        return len(store.page(InspectionQuery(**fields)).inspections)

    assert found() == 3
    assert found(product="나사") == 2
    assert found(product="나사", verdict=Verdict.DEFECT, minimum_score=0.9, part="7", corrected=True) == 1
    assert found(corrected=False) == 2
    assert found(since=NOW) == 2
    assert found(until=NOW) == 1
    assert found(verdict=Verdict.DEFECT, corrected=False) == 0
    counts = store.counts()
    assert (counts["나사"].inspected, counts["나사"].defective, counts["screw"].defective) == (2, 1, 0)
    assert counts["screw"].last == NOW - timedelta(days=1)


def test_an_interrupted_correction_leaves_a_leftover_and_no_correction(store: InspectionStore) -> None:
    one = add(store)
    store.announce(one.id, "normal/screw/1.png")
    assert store.leftovers() == {one.id: "normal/screw/1.png"}
    assert store.get(one.id).inspection.corrected is None
    correction = Correction(verdict=Verdict.DEFECT, defect_type="scratch", note="seen")
    store.correct(one.id, correction, "anna", "defect/screw/scratch/1.png", "")
    stored = store.get(one.id)
    assert (stored.inspection.corrected, stored.inspection.corrected_type) == (Verdict.DEFECT, "scratch")
    assert (stored.inspection.corrected_by, stored.inspection.note) == ("anna", "seen")
    assert stored.corrected_key == "defect/screw/scratch/1.png"
    assert store.leftovers() == {}
    with pytest.raises(UnknownInspection):
        store.announce(new_id(), "x")


def test_a_file_is_found_by_where_it_came_from(store: InspectionStore) -> None:
    one = add(store, source="screw/1.png|5|6")
    assert store.of_source("screw/1.png|5|6") == one
    assert store.of_source("screw/2.png|5|6") is None


def test_the_settings_of_products_survive_a_restart(database: Database, database_url: str, tmp_path: Path) -> None:
    products = ProductStore(database)
    assert products.settings("나사 M8") == ProductSettings()
    settings = ProductSettings(threshold=0.7, region=Region(left=0.25), tiles=(2, 3))
    products.put("나사 M8", settings)
    assert ProductStore(database).settings("나사 M8") == settings
    assert read_product_settings(ServiceSettings(data=tmp_path, database_url=database_url)) == {"나사 M8": settings}


def test_a_changed_schedule_catches_up_nothing_of_the_past(database: Database) -> None:
    products = ProductStore(database)
    before = datetime.now(timezone.utc)
    scheduled = ProductSettings(rebuild=RebuildSchedule(at=time(3, 0)))
    products.put("screw", scheduled)
    assert products.stored()["screw"].rebuilt >= before
    slot = before + timedelta(days=1)
    products.mark_rebuilt("screw", slot)
    products.put("screw", scheduled.model_copy(update={"threshold": 0.6}))
    assert ProductStore(database).stored()["screw"].rebuilt == slot
    products.put("screw", ProductSettings(rebuild=RebuildSchedule(at=time(4, 0))))
    assert products.stored()["screw"].rebuilt < slot


def test_settings_of_a_newer_version_are_not_used_and_not_lost(database: Database) -> None:
    database.write(lambda s: s.add(ProductRow(name="screw", settings={"colour": 1}, rebuilt=NOW)))
    assert ProductStore(database).settings("screw") == ProductSettings()


# -- kept pictures --------------------------------------------------------------------------------------------------


def test_kept_pictures_go_by_size_oldest_first_and_corrected_ones_last(store: InspectionStore, tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path, inspections_gb=3e-6)  # 3,000 bytes
    pictures = PictureStore(settings)
    files = []
    for number in range(5):
        ident = new_id()
        files.append(pictures.keep(ident, b"\xff\xd8" + bytes(998)))
        add(store, id=ident, kept=files[-1])
        if number == 0:
            store.correct(ident, Correction(verdict=Verdict.NORMAL), "anna", "normal/screw/x.jpg", "")
    assert InspectionRetention(pictures, store, settings).run_once() == 2
    assert [file.path.name for file in pictures.files()] == [files[0], *files[3:]]
    shown = {inspection.id: inspection.picture for inspection in store.page(InspectionQuery()).inspections}
    assert [shown[name.partition(".")[0]] for name in files] == [True, False, False, True, True]
    with pytest.raises(PictureGone, match="XAIVA_INSPECTIONS_DAYS"):
        pictures.read(files[1])
    assert pictures.read(files[0])[:2] == b"\xff\xd8"


def test_old_inspections_go_with_their_pictures(store: InspectionStore, database: Database, tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path, inspections_days=10)
    pictures = PictureStore(settings)
    old = f"01900000-0000-7000-8000-{os.urandom(6).hex()}"  # of 2024
    young = new_id()
    for ident in (old, young):
        add(store, id=ident, kept=pictures.keep(ident, b"BM picture"))
    changed = update(InspectionRow).where(InspectionRow.id == old).values(at=NOW - timedelta(days=11))
    database.write(lambda session: session.execute(changed))
    assert InspectionRetention(pictures, store, settings).run_once() == 1
    assert [inspection.id for inspection in store.page(InspectionQuery()).inspections] == [young]
    assert [file.path.name for file in pictures.files()] == [f"{young}.bmp"]


def test_a_foreign_file_among_the_kept_pictures_stays_and_stops_nothing(store: InspectionStore, tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path, inspections_gb=1e-9)
    pictures = PictureStore(settings)
    kept = pictures.path(pictures.keep(new_id(), b"BM picture"))
    foreign = [kept.with_name(f"{kept.name}.bak"), kept.with_name("notes.txt")]
    for path in foreign:
        path.write_text("foreign")
    assert InspectionRetention(pictures, store, settings).run_once() == 1
    assert not kept.exists()
    assert all(path.exists() for path in foreign)


def test_a_chore_that_hangs_or_fails_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chores, "ROUND_SECONDS", 0.01)
    release, done = threading.Event(), threading.Event()

    def fail() -> None:
        raise RuntimeError("poison")

    subject = Chores({"one that hangs": release.wait, "one that fails": fail, "another": done.set})
    subject.start()
    try:
        assert done.wait(60)
    finally:
        release.set()
        subject.stop()


def test_chores_that_never_began_are_stopped() -> None:
    subject = Chores({"one": lambda: None})
    subject.stop()
