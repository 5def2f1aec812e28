"""Corrections that are killed or refused leave nothing behind and stop no other."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from core.api_schema import Correction, Verdict
from core.errors import XaivaError
from core.inference.inspection.inspections import InspectionStore
from core.inference.storage.model import KeyConflict, ObjectInfo, StorageDown, StorageRefused
from tests.inspection.inspected import Inspected, inspected
from tests.support.inspected import good, scratched


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


def test_a_picture_that_is_gone_cannot_be_corrected(here: Inspected) -> None:
    ident = here.inspect(good()).id
    shutil.rmtree(here.settings.inspection_folder / "kept")
    with pytest.raises(XaivaError, match="not kept"):
        here.service.correct(ident, Correction(verdict=Verdict.NORMAL), "anna")
    assert here.service.inspections.get(ident).leftover_key == ""
