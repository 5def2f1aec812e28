"""Inspection with real banks, indexes, storage and database, and with each of them missing, broken or down."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.api_schema import Correction, Event, InspectionQuery, ProductSettings, Region, Verdict
from core.errors import InputError, XaivaError
from core.inference.database.engine import Database
from core.inference.database.errors import DatabaseError
from core.inference.generations import Generations
from core.inference.inspection.bank_checked import mark_checked
from core.inference.inspection.banks import NoBank
from core.inference.inspection.index_files import index_generations
from core.inference.inspection.inspection_service import InspectionService
from core.inference.inspection.inspections import InspectionStore
from core.inference.inspection.layout import Layout
from core.inference.inspection.product_folders import product_folders
from core.inference.inspection.products import UnknownProduct
from core.inference.jobs.service import JobService
from core.inference.model_pool.devices import DeviceBudget, HostMemory
from core.inference.model_pool.pool import ModelPool
from core.inference.models.bank_files import bank_generations
from core.inference.settings import ServiceSettings
from core.inference.storage import open_storage
from core.inference.storage.model import KeyConflict, ObjectInfo, StorageDown, StorageRefused
from tests.model_pool.fakes import FakeCostStore
from tests.support.inspected import NORMALS, SIZE, build_bank, build_indexes, encoded, fill_storage, good, scratched
from tests.support.onnx_model import write_mean
from tests.support.parts import Rgb, plates
from tests.support.postgres import Postgres


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with pictures, a memory bank and both indexes of the product `plate`."""
    data = tmp_path_factory.mktemp("prepared")
    fill_storage(data / "images", "plate")
    build_bank(ServiceSettings(data=data), "plate")
    build_indexes(ServiceSettings(data=data))
    return data


@dataclass
class Inspected:
    """An inspection service, and the events that it started."""

    service: InspectionService
    settings: ServiceSettings
    events: list[tuple[Event, str, bytes]] = field(default_factory=list)

    def inspect(self, picture: bytes, **options: Any) -> Any:
        return self.service.inspect("plate", picture, **{"neighbours": 3, "heat_map": False, **options})


@contextmanager
def inspected(data: Path, **more: Any) -> Iterator[Inspected]:
    settings = ServiceSettings(data=data, onnx_provider="cpu", **more)
    database = Database(settings.database)
    pool = ModelPool(DeviceBudget(HostMemory(), 0), costs=FakeCostStore())
    storage = open_storage(settings)
    events: list[tuple[Event, str, bytes]] = []
    service = InspectionService(
        settings, database, pool, storage, JobService(settings), lambda *event: events.append(event)
    )
    try:
        yield Inspected(service, settings, events)
    finally:
        pool.close()
        database.close()


@pytest.fixture
def here(prepared: Path, tmp_path: Path) -> Iterator[Inspected]:
    """A service over a copy of the prepared folder."""
    shutil.copytree(prepared, tmp_path / "data")
    with inspected(tmp_path / "data") as one:
        yield one


def spoilt(x: int, y: int) -> bytes:
    """A plate with a bright spot at that pixel."""
    picture: Rgb = plates(1, 5, size=SIZE)[0]
    picture[y - 10 : y + 10, x - 10 : x + 10] = 250
    return encoded(picture)


def test_what_lies_outside_of_the_region_is_not_inspected(here: Inspected) -> None:
    build_bank(here.settings, "plate", Region(left=0.5, bottom=0.5), (2, 1))
    inside, outside = here.inspect(spoilt(250, 55)), here.inspect(spoilt(60, 55))
    assert (inside.verdict, outside.verdict) == (Verdict.DEFECT, Verdict.NORMAL)
    assert inside.bank == 2
    scores = _scores(here, inside.id)
    assert scores.shape == (28, 96)  # of the whole picture, in the patches of its tiles
    assert not scores[14:].any()
    assert not scores[:, :48].any()
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    assert abs(row - 55 / 224 * 28) < 3
    assert abs(column - 250 / 384 * 96) < 3
    with pytest.raises(InputError, match="too few for 2 x 1 tiles"):
        here.inspect(encoded(np.zeros((16, 16, 3), np.uint8)))


def _scores(here: Inspected, ident: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(here.service.inspections.heat_map(ident))))


def test_without_indexes_there_is_a_verdict_and_the_reason(here: Inspected) -> None:
    data = here.settings.data
    shutil.rmtree(index_generations(here.settings, "defect").folder)
    answer = here.inspect(good())
    assert answer.explanation == "no nearest defect pictures: their index was not built yet"
    assert (len(answer.normals), answer.defects, answer.normal_index, answer.defect_index) == (3, [], 1, 0)
    shutil.rmtree(index_generations(here.settings, "normal").folder)
    with inspected(data) as restarted:
        answer = restarted.inspect(good())
        assert (answer.verdict, answer.normals) == (Verdict.NORMAL, [])
        assert answer.explanation.startswith("no nearest normal pictures")
        assert restarted.inspect(good(), neighbours=0).explanation == ""


def test_vectors_of_two_encoders_never_meet(here: Inspected) -> None:
    generations = index_generations(here.settings, "normal")
    facts = generations.open().manifest.facts
    facts["encoder"] |= {"sha256": "0" * 64}  # type: ignore[operator]
    with generations.write() as folder:
        for path in generations.open().path.iterdir():
            if path.name != "manifest.json":
                shutil.copy(path, folder)
        generations.publish(folder, facts)
    answer = here.inspect(good())
    assert (answer.normals, answer.normal_index, answer.defect_index) == ([], 0, 1)
    assert "changed since the index was built" in answer.explanation
    (trouble,) = here.service.catalogue.products().indexes[0].trouble
    assert "encoder" in trouble


def test_a_broken_bank_is_refused_and_the_one_before_answers(here: Inspected) -> None:
    build_bank(here.settings, "plate")
    generations = bank_generations(here.settings, "plate")
    _truncate(generations)
    assert here.inspect(good()).bank == 1
    product = here.service.catalogue.product("plate")
    assert "generation 1 answers" in product.trouble[0]
    _truncate(generations, "000001")
    with inspected(here.settings.data) as restarted:
        with pytest.raises(NoBank, match="rebuild it"):
            restarted.inspect(good())
        assert restarted.service.catalogue.product("plate").trouble


def _truncate(generations: Generations, name: str = "") -> None:
    path = generations.open(name).path / "bank.npz"
    os.truncate(path, path.stat().st_size // 2)


def test_pictures_that_are_newer_than_the_bank_are_told(here: Inspected) -> None:
    service, bank = here.service, bank_generations(here.settings, "plate")
    pictures = here.settings.data / "images/normal/plate"
    listed = max(path.stat().st_ctime for path in pictures.iterdir())
    mark_checked(bank, 1, listed)
    service.start()
    try:
        _until(lambda: service.catalogue.products().counted)
        assert service.catalogue.product("plate").trouble == []
        _until(lambda: _touched(pictures / "0.jpg") > listed)
        service.count_pictures()
        _until(lambda: service.catalogue.product("plate").trouble)
        assert service.catalogue.product("plate").trouble == [
            "normal pictures are newer than its memory bank: rebuild it"
        ]
        assert service.catalogue.product("plate").normal == NORMALS
        mark_checked(bank, 1, time.time() + 1)  # as a rebuild that changes nothing
        assert service.catalogue.product("plate").trouble == []
    finally:
        for stop in service.stops().values():
            stop()


def _touched(path: Path) -> float:
    """Write a file again; returns when that was."""
    path.touch()
    return path.stat().st_ctime


def _until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_product_is_known_as_soon_as_its_pictures_are_there(here: Inspected) -> None:
    with pytest.raises(UnknownProduct):
        here.service.set_settings("bolt", ProductSettings())
    folder = here.settings.data / "images/defect/bolt/dent"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(good())
    here.service.set_settings("bolt", ProductSettings(threshold=0.7))
    assert here.service.settings("bolt").threshold == 0.7


def test_a_name_is_the_same_composed_and_decomposed(here: Inspected) -> None:
    for spelling, number in (("NFD", 1), ("NFC", 2)):
        folder = here.settings.data / f"images/normal/{unicodedata.normalize(spelling, '나사')}"
        folder.mkdir()
        (folder / f"{number}.jpg").write_bytes(good())
    here.service.set_settings("나사", ProductSettings(threshold=0.7))
    assert here.service._counts.count().products["나사"].normal == 2
    folders = product_folders(open_storage(here.settings), "normal/", "나사")
    assert {unicodedata.normalize("NFC", folder) for folder in folders} == {"normal/나사/"}
    assert len(folders) == 2
    assert product_folders(open_storage(here.settings), "normal/", "plate") == ["normal/plate/"]
    key = Layout().parse_key(unicodedata.normalize("NFD", "defect/나사/긁힘/1.jpg"))
    assert key is not None
    assert (key.product, key.label) == ("나사", "긁힘")


def test_a_listing_reads_no_bank(here: Inspected) -> None:
    bank = bank_generations(here.settings, "plate").open().path / "bank.npz"
    bank.write_bytes(bytes(bank.stat().st_size))  # damaged, but as large as it should be
    product = here.service.catalogue.product("plate")
    assert (product.bank is not None, product.trouble) == (True, [])
    with pytest.raises(NoBank):
        here.inspect(good())
    product = here.service.catalogue.product("plate")
    assert product.bank is None
    assert "bank.npz is not what was written" in product.trouble[0]


def test_a_picture_that_cannot_be_kept_is_inspected_all_the_same(here: Inspected) -> None:
    (here.settings.inspection_folder / "kept").write_text("in the way")
    answer = here.inspect(good())
    assert (answer.verdict, answer.picture) == (Verdict.NORMAL, False)
    assert "the picture is not kept" in answer.explanation
    assert here.service.inspections.get(answer.id).inspection == answer


def test_a_defect_starts_an_event_with_a_jpeg_of_it(here: Inspected) -> None:
    here.service.set_settings("plate", ProductSettings(flow="urgent"))
    picture = plates(1, 99, size=(384, 224), defect="scratch")[0]
    answer = here.inspect(encoded(picture, "PNG"), part="7")
    ((event, flow, jpeg),) = here.events
    assert (event.id, event.camera_name, event.product, event.note) == (answer.event, "plate", "plate", "part 7")
    assert flow == here.service.flow_of("plate") == "urgent"
    assert jpeg[:2] == b"\xff\xd8"


def test_with_the_database_down_a_line_gets_its_verdicts_and_nothing_is_lost(
    prepared: Path, tmp_path: Path, postgres: Postgres
) -> None:
    shutil.copytree(prepared, tmp_path / "data")
    url = postgres.new_database()
    with inspected(tmp_path / "data", database_url=url) as here:
        first = here.inspect(good())
        postgres.stop()
        try:
            second = here.inspect(scratched())
            assert second.verdict is Verdict.DEFECT
            with pytest.raises(DatabaseError):
                here.service.inspections.page(InspectionQuery())
        finally:
            postgres.start()
        for chore in here.service.chores.values():
            chore()
        page = here.service.inspections.page(InspectionQuery())
        assert page.inspections == [second, first]
        assert list((here.settings.inspection_folder / "waiting").iterdir()) == []
    postgres.give_back(url)


def test_an_inspection_that_nothing_takes_has_its_verdict_and_no_id(
    here: Inspected, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_args: object, **_fields: object) -> None:
        raise DatabaseError("Database", "it does not answer")

    monkeypatch.setattr(InspectionStore, "add", down)
    (here.settings.inspection_folder / "waiting").write_text("in the way")
    answer = here.inspect(scratched())
    assert (answer.verdict, answer.id, answer.picture) == (Verdict.DEFECT, "", False)
    assert "neither the database nor the disk" in answer.explanation
    assert list(here.service.pictures.files()) == []
    assert [event.id for event, *_ in here.events] == [answer.event]


# -- corrections ----------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


def _keys(here: Inspected, ident: str) -> list[str]:
    images = here.settings.data / "images"
    return sorted(path.relative_to(images).as_posix() for path in images.rglob(f"{ident}*"))


@pytest.mark.parametrize("step", ["announce", "upload", "correct"])
def test_a_correction_that_is_killed_leaves_nothing(
    here: Inspected, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    ident = here.inspect(scratched()).id
    normal = Correction(verdict=Verdict.NORMAL)
    defect = Correction(verdict=Verdict.DEFECT, defect_type="scratch")
    here.service.correct(ident, defect, "anna")

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as killed:
        storage = type(here.service._corrections._storage)
        target = {"announce": InspectionStore, "upload": storage, "correct": InspectionStore}[step]
        killed.setattr(target, {"upload": "upload_file"}.get(step, step), kill)
        with pytest.raises(Killed):
            here.service.correct(ident, normal, "bert")
    with inspected(here.settings.data) as restarted:
        for chore in restarted.service.chores.values():
            chore()
        assert restarted.service.inspections.get(ident).inspection.corrected_by == "anna"
        assert _keys(restarted, ident) == [f"defect/plate/scratch/{ident}.jpg"]
        restarted.service.correct(ident, normal, "bert")
        assert _keys(restarted, ident) == [f"normal/plate/{ident}.jpg"]


def test_the_object_of_an_earlier_correction_is_deleted_once_the_storage_answers(
    here: Inspected, monkeypatch: pytest.MonkeyPatch
) -> None:
    ident = here.inspect(scratched()).id
    here.service.correct(ident, Correction(verdict=Verdict.NORMAL), "anna")
    storage = type(here.service._corrections._storage)

    def down(*_: object) -> ObjectInfo:
        raise StorageDown("Storage", "it does not answer")

    with monkeypatch.context() as outage:
        outage.setattr(storage, "upload_file", down)
        with pytest.raises(StorageDown):
            here.service.correct(ident, Correction(verdict=Verdict.DEFECT, defect_type="dent"), "bert")
    assert here.service.inspections.get(ident).inspection.corrected is Verdict.NORMAL
    with monkeypatch.context() as outage:
        outage.setattr(storage, "delete_file", down)
        moved = Correction(verdict=Verdict.DEFECT, defect_type="scratch")
        with pytest.raises(StorageDown):  # the announced object of before may still come
            here.service.correct(ident, moved, "bert")
    here.service.correct(ident, moved, "bert")
    assert _keys(here, ident) == [f"defect/plate/scratch/{ident}.jpg"]


def test_a_correction_that_the_storage_cannot_take_stops_no_other(
    here: Inspected, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked, other = here.inspect(scratched()).id, here.inspect(scratched()).id
    (here.settings.data / "images/defect/plate/dent").write_text("a file where the folder belongs")
    with pytest.raises(KeyConflict):
        here.service.correct(blocked, Correction(verdict=Verdict.DEFECT, defect_type="dent"), "anna")
    assert here.service.inspections.get(blocked).leftover_key
    here.service.correct(blocked, Correction(verdict=Verdict.NORMAL), "anna")
    assert _keys(here, blocked) == [f"normal/plate/{blocked}.jpg"]
    for ident, key in ((blocked, f"normal/plate/{'긁' * 100}/a.jpg"), (other, f"defect/plate/scratch/{other}.jpg")):
        here.service.inspections.announce(ident, key)
    leftover = here.settings.data / f"images/defect/plate/scratch/{other}.jpg"
    leftover.write_bytes(scratched())
    storage = type(here.service._corrections._storage)
    delete = storage.delete_file

    def refused(self: Any, key: str) -> None:
        if other not in key:
            raise StorageRefused(key, "no permission")
        delete(self, key)

    with monkeypatch.context() as refusing:
        refusing.setattr(storage, "delete_file", refused)
        here.service._corrections.clean_up()
    assert not leftover.exists()
    assert list(here.service.inspections.leftovers()) == [blocked]
    here.service._corrections.clean_up()  # no object can have a name that is too long
    assert here.service.inspections.leftovers() == {}


def test_an_encoder_gets_as_many_pixels_as_when_it_was_indexed(here: Inspected) -> None:
    models = here.settings.data / "models"
    models.mkdir()
    write_mean(models / "large.onnx", ("n", 3, 700, 900), (2, 3))
    description = {"input": {"name": "x", "width": 900, "height": 700}, "output": {"name": "y"}}
    (models / "large.json").write_text(json.dumps(description))
    picture = encoded(np.full((1200, 1600, 3), 128, np.uint8))
    with inspected(here.settings.data, models=models, encoder="large.onnx") as large:
        build_indexes(large.settings)
        assert large.service._inspector.measure("plate", picture, 3).picture.shape == (1200, 1600, 3)
        assert large.service._inspector.measure("plate", picture, 0).picture.shape == (300, 400, 3)


def test_a_picture_that_is_gone_cannot_be_corrected(here: Inspected) -> None:
    ident = here.inspect(good()).id
    shutil.rmtree(here.settings.inspection_folder / "kept")
    with pytest.raises(XaivaError, match="not kept"):
        here.service.correct(ident, Correction(verdict=Verdict.NORMAL), "anna")
    assert here.service.inspections.get(ident).leftover_key == ""


# -- the drop folder ------------------------------------------------------------------------------------------------


def test_a_crash_between_inspection_and_result_inspects_nothing_twice(here: Inspected) -> None:
    first = here.service._inspect_file("plate", scratched(), "7", "plate/7.jpg|1|2")
    with inspected(here.settings.data) as restarted:
        assert restarted.service._inspect_file("plate", scratched(), "7", "plate/7.jpg|1|2") == first
        assert restarted.events == []
        assert restarted.service._inspect_file("plate", good(), "7", "plate/7.jpg|1|3").id != first.id
