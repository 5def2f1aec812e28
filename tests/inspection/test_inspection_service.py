"""Inspections with real banks, indexes, storage and database, and with each of them missing, broken or down."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.api_schema import InspectionQuery, ProductSettings, Region, Verdict
from core.errors import InputError
from core.inference.database.errors import DatabaseError
from core.inference.generations import Generations
from core.inference.inspection.banks import NoBank
from core.inference.inspection.index_files import index_generations
from core.inference.inspection.inspections import InspectionStore
from core.inference.models.bank_files import bank_generations
from tests.inspection.inspected import Inspected, inspected
from tests.support.inspected import SIZE, build_bank, build_indexes, encoded, good, scratched
from tests.support.onnx_model import write_mean
from tests.support.parts import Rgb, plates
from tests.support.postgres import Postgres


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


def test_a_crash_between_inspection_and_result_inspects_nothing_twice(here: Inspected) -> None:
    first = here.service._inspect_file("plate", scratched(), "7", "plate/7.jpg|1|2")
    with inspected(here.settings.data) as restarted:
        assert restarted.service._inspect_file("plate", scratched(), "7", "plate/7.jpg|1|2") == first
        assert restarted.events == []
        assert restarted.service._inspect_file("plate", good(), "7", "plate/7.jpg|1|3").id != first.id
