"""The drop folder: pictures get a result beside them, once, whatever their writers do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import XaivaError
from core.inference.inspection import drop_folder
from core.inference.inspection.banks import NoBank
from core.inference.inspection.drop_folder import DropFolder
from core.inference.inspection.products import unknown_product
from tests.inspection.dropped import Inspections, look, put, raw, result


def test_a_picture_gets_a_result_beside_it(folder: DropFolder, inspections: Inspections) -> None:
    path = put(folder, "나사 M8/line 1/lot-7.JPG")
    assert look(folder) == 1
    assert result(path)["inspection"]["product"] == "나사 M8"
    assert result(path)["inspection"]["part"] == "lot-7"
    assert path.read_bytes() == b"picture"
    assert [name for *_, name in inspections.done] == [f"나사 M8/line 1/lot-7.JPG|7|{path.stat().st_mtime_ns}"]
    status = folder.status()
    assert (status.state, status.why, status.waiting, status.inspected, status.failed) == ("ok", "", 0, 1, 0)


def test_no_picture_is_inspected_twice(folder: DropFolder, inspections: Inspections) -> None:
    for number in range(3):
        put(folder, f"screw/{number}.png")
    assert look(folder) == 3
    assert look(folder) == 0
    assert look(DropFolder(folder.folder, inspections)) == 0  # after a restart
    assert len(inspections.done) == 3


def test_a_picture_that_is_being_written_waits(
    folder: DropFolder, inspections: Inspections, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "screw/1.png", b"half")
    folder.run_once()
    put(folder, "screw/1.png", b"half and whole")
    assert folder.run_once() == 0
    assert folder.status().waiting == 1
    assert folder.run_once() == 1
    assert inspections.done[0][1] == b"half and whole"
    monkeypatch.setattr(drop_folder, "STABLE_SECONDS", 3600.0)
    put(folder, "screw/2.png")
    assert look(folder, 5) == 0
    put(folder, "screw/3.png", b"")
    monkeypatch.setattr(drop_folder, "STABLE_SECONDS", 0.0)
    assert look(folder) == 1  # the empty one may still be filled
    assert not Path(folder.folder / "screw/3.png.json").exists()


def test_a_picture_that_was_replaced_is_inspected_again(folder: DropFolder, inspections: Inspections) -> None:
    path = put(folder, "screw/1.png", b"first")
    look(folder)
    path.write_bytes(b"second")
    os.utime(path, (1e9, 1e9))  # a server may give it the time of its original
    Path(f"{path}.json").touch()
    os.utime(f"{path}.json", (1e9, 1e9))
    look(folder)
    assert [content for _, content, *_ in inspections.done] == [b"first", b"second"]
    os.chmod(path, 0o600)  # newer than its result, but the same picture
    os.utime(f"{path}.json", (1e9, 1e9))
    assert look(folder) == 0


def test_a_broken_picture_gets_its_error_and_stops_nothing(folder: DropFolder, inspections: Inspections) -> None:
    broken, good = put(folder, "screw/1.png", b"broken"), put(folder, "screw/2.png")
    outside = put(folder, "3.png")
    assert look(folder) == 3
    assert result(broken)["error"] == {"what": "The picture", "why": "it is damaged", "remedy": ""}
    assert "inspection" in result(good)
    assert "name of its product" in result(outside)["error"]["remedy"]
    assert folder.status().failed == 2
    assert look(folder) == 0


@pytest.mark.parametrize("error", [NoBank("Product bolt", "it has no memory bank"), unknown_product("bolt")])
def test_pictures_wait_for_a_product_that_cannot_be_inspected_yet(
    folder: DropFolder, inspections: Inspections, error: XaivaError
) -> None:
    inspections.raises["bolt"] = error
    waiting, other = put(folder, "bolt/1.png"), put(folder, "screw/1.png")
    put(folder, "bolt/2.png")
    assert look(folder) == 1
    assert not Path(f"{waiting}.json").exists()
    assert "inspection" in result(other)
    assert folder.status().waiting == 2
    assert error.what in folder.status().why
    del inspections.raises["bolt"]
    assert look(folder) == 2
    assert folder.status().why == ""


def test_other_files_links_and_hidden_ones_are_left_alone(folder: DropFolder, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    put(folder, "screw/notes.txt")
    put(folder, "screw/.1.png")
    put(folder, "screw/2.png.part")
    put(folder, ".trash/3.png")
    (folder.folder / "screw" / "link.png").symlink_to(tmp_path / "secret.png")
    (folder.folder / "loop").symlink_to(folder.folder)
    before = sorted(folder.folder.rglob("*"))
    assert look(folder) == 0
    assert sorted(folder.folder.rglob("*")) == before


def test_many_pictures_are_taken_oldest_first(folder: DropFolder, inspections: Inspections) -> None:
    for number in range(300):
        os.utime(put(folder, f"screw/{number:04}.png"), (300 - number, 300 - number))
    assert look(folder) == 300
    assert [part for *_, part, _ in inspections.done] == [f"{number:04}" for number in reversed(range(300))]


def test_a_name_that_is_no_utf_8_is_inspected_as_any_other(folder: DropFolder, inspections: Inspections) -> None:
    first, second = raw(folder, b"screw/\xb0\xa1.png"), raw(folder, b"screw/\xb0\xa2.png", b"another")
    later = put(folder, "screw/2.png")
    assert look(folder) == 3
    assert result(first)["picture"] == r"\xb0\xa1.png"
    assert "inspection" in result(second)
    assert "inspection" in result(later)
    assert r"\xb0\xa1" in {part for *_, part, _ in inspections.done}
    assert look(folder) == 0


def test_a_name_with_a_backslash_is_not_taken_for_one_that_is_no_utf_8(
    folder: DropFolder, inspections: Inspections
) -> None:
    raw(folder, b"screw/\xb0.png"), put(folder, r"screw/\xb0.png", b"another")
    assert look(folder, 3) == 2
    assert {content for _, content, *_ in inspections.done} == {b"picture", b"another"}


def test_the_source_of_a_picture_is_short_enough_for_a_database(folder: DropFolder, inspections: Inspections) -> None:
    deep = "/".join(["나" * 80] * 8)
    put(folder, f"{deep}/{deep[:80]}/1.png"), put(folder, f"{deep}/{deep[:80]}/2.png")
    assert look(folder) == 2
    sources = {source for *_, source in inspections.done}
    assert len(sources) == 2
    assert max(len(source.encode()) for source in sources) <= 2000


def test_a_picture_that_grew_since_the_folder_was_listed_waits(
    folder: DropFolder, inspections: Inspections, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folder, "screw/1.png", b"half")
    folder.run_once()
    seen = list(folder._without_result())
    with monkeypatch.context() as patch:  # as an NFS client that shows old attributes
        patch.setattr(DropFolder, "_without_result", lambda _self: iter(seen))
        path.write_bytes(b"half and whole")
        assert folder.run_once() == 0
    assert inspections.done == []
    assert look(folder) == 1
    assert inspections.done[0][1] == b"half and whole"


def test_a_picture_whose_result_was_deleted_gets_it_again(folder: DropFolder, inspections: Inspections) -> None:
    path = put(folder, "screw/1.png")
    look(folder)
    os.utime(f"{path}.json", (1e9, 1e9))  # the picture is newer than its result, but the same
    assert look(folder) == 0
    Path(f"{path}.json").unlink()
    assert look(folder) == 1
    os.utime(f"{path}.json", (1e9, 1e9))
    look(folder)
    path.unlink()
    look(folder)
    assert folder._done == {}
