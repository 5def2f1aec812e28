"""The drop folder: pictures get a result beside them, once, whatever the folder and its writers do."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from core.api_schema import Inspection, Verdict
from core.errors import XaivaError
from core.inference.events.ids import new_id
from core.inference.inspection import drop_folder
from core.inference.inspection.banks import NoBank
from core.inference.inspection.drop_folder import DropFolder
from core.inference.inspection.pictures import BadPicture
from core.inference.inspection.products import unknown_product


class Inspections:
    """Stands for the inspection itself, which has tests of its own."""

    def __init__(self) -> None:
        self.done: list[tuple[str, bytes, str, str]] = []
        self.raises: dict[str, Exception] = {}

    def __call__(self, product: str, picture: bytes, part: str, source: str) -> Inspection:
        if product in self.raises:
            raise self.raises[product]
        if picture == b"broken":
            raise BadPicture("The picture", "it is damaged")
        self.done.append((product, picture, part, source))
        now = datetime.now(timezone.utc)
        values = {"product": product, "part": part, "at": now, "score": 0.1, "threshold": 0.5, "bank": 1}
        return Inspection.model_validate({**values, "id": new_id(), "verdict": Verdict.NORMAL})


@pytest.fixture
def inspections() -> Inspections:
    return Inspections()


@pytest.fixture
def folder(tmp_path: Path, inspections: Inspections, monkeypatch: pytest.MonkeyPatch) -> DropFolder:
    monkeypatch.setattr(drop_folder, "STABLE_SECONDS", 0.0)
    (tmp_path / "inbox").mkdir()
    return DropFolder(tmp_path / "inbox", inspections)


def put(folder: DropFolder, name: str, content: bytes = b"picture") -> Path:
    path = folder.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def result(path: Path) -> Any:
    return json.loads(Path(f"{path}.json").read_text())


def look(folder: DropFolder, times: int = 2) -> int:
    """Look several times: a picture is taken when it looks the same as the time before."""
    return sum(folder.run_once() for _ in range(times))


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


def test_after_a_fault_that_may_pass_the_picture_is_tried_again(folder: DropFolder, inspections: Inspections) -> None:
    inspections.raises["screw"] = XaivaError("Model features", "there is no room for it")
    put(folder, "screw/1.png")
    assert look(folder) == 0
    assert (folder.status().state, folder.status().why) == ("failing", "Model features: there is no room for it")
    inspections.raises.clear()
    assert look(folder, 1) == 1
    assert folder.status().state == "ok"


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


def test_a_result_that_cannot_be_written_is_kept_and_not_computed_again(
    folder: DropFolder, inspections: Inspections, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = drop_folder._write

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drop_folder, "_write", full)
    paths = [put(folder, f"screw/{number}.png") for number in range(3)]
    look(folder, 5)
    assert len(inspections.done) == 1
    assert folder.status().state == "failing"
    assert "No space left" in folder.status().why
    monkeypatch.setattr(drop_folder, "_write", real)
    look(folder)
    assert len(inspections.done) == 3
    assert all("inspection" in result(path) for path in paths)


def test_a_folder_that_is_gone_is_a_state_and_comes_back(folder: DropFolder, tmp_path: Path) -> None:
    put(folder, "screw/1.png")
    folder.folder.rename(tmp_path / "away")
    assert look(folder) == 0
    assert folder.status().state == "failing"
    assert "No such file" in folder.status().why
    (tmp_path / "away").rename(folder.folder)
    assert look(folder) == 1
    assert folder.status().state == "ok"


def test_a_folder_that_hangs_is_told_and_keeps_nobody_waiting(
    folder: DropFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drop_folder, "PAUSE_SECONDS", 3600.0)
    monkeypatch.setattr(drop_folder, "SILENT_SECONDS", 0.0)
    folder.start()
    assert folder.status().state == "failing"
    assert "does not answer" in folder.status().why
    folder.stop()


def test_many_pictures_are_taken_oldest_first(folder: DropFolder, inspections: Inspections) -> None:
    for number in range(300):
        os.utime(put(folder, f"screw/{number:04}.png"), (300 - number, 300 - number))
    assert look(folder) == 300
    assert [part for *_, part, _ in inspections.done] == [f"{number:04}" for number in reversed(range(300))]


def raw(folder: DropFolder, name: bytes, content: bytes = b"picture") -> Path:
    """Put a picture with that name, which need not be UTF-8."""
    return put(folder, os.fsdecode(name), content)


def test_a_name_that_is_no_utf_8_is_inspected_as_any_other(folder: DropFolder, inspections: Inspections) -> None:
    first, second = raw(folder, b"screw/\xb0\xa1.png"), raw(folder, b"screw/\xb0\xa2.png", b"another")
    later = put(folder, "screw/2.png")
    assert look(folder) == 3
    assert result(first)["picture"] == r"\xb0\xa1.png"
    assert "inspection" in result(second)
    assert "inspection" in result(later)
    assert inspections.done[0][2] == r"\xb0\xa1"
    assert look(folder) == 0


def test_an_unexpected_error_of_one_picture_is_logged_once_and_stops_no_other(
    folder: DropFolder, inspections: Inspections, caplog: pytest.LogCaptureFixture
) -> None:
    poison, good = put(folder, "bolt/1.png"), put(folder, "screw/2.png")
    inspections.raises["bolt"] = ZeroDivisionError()
    assert look(folder, 5) == 1
    assert "inspection" in result(good)
    assert caplog.text.count("Traceback") == 1
    status = folder.status()
    assert status.state == "failing"
    assert f"{poison}: an unexpected error (ZeroDivisionError)" in status.why
    del inspections.raises["bolt"]
    assert look(folder, 1) == 1
    assert folder.status().state == "ok"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_picture_that_cannot_be_read_stops_no_other(
    folder: DropFolder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    locked, good = put(folder, "screw/1.png"), put(folder, "screw/2.png")
    real = drop_folder.read_regular_with_status

    def read(path: Path) -> tuple[bytes, os.stat_result]:
        if path == locked:
            raise OSError(number, os.strerror(number), str(path))
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(drop_folder, "read_regular_with_status", read)  # root may read every file
        assert look(folder) == 1
    assert "inspection" in result(good)
    assert (folder.status().state, folder.status().waiting) == ("failing", 1)
    assert folder.status().why == f"{locked}: {os.strerror(number)}"
    assert look(folder, 1) == 1
    assert folder.status().why == ""


def test_a_name_too_long_for_its_result_stops_no_other_and_is_not_inspected(
    folder: DropFolder, inspections: Inspections
) -> None:
    put(folder, f"screw/{'x' * 247}.png")
    good = put(folder, "screw/2.png")
    assert look(folder, 5) == 1
    assert "inspection" in result(good)
    assert len(inspections.done) == 1
    assert "File name too long" in folder.status().why


def test_a_folder_that_takes_no_results_stops_no_other_and_is_inspected_once(
    folder: DropFolder, inspections: Inspections, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = drop_folder._write

    def write(path: Path, content: bytes) -> None:
        if path.parent.name == "bolt":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        real(path, content)

    bolts = [put(folder, f"bolt/{number}.png") for number in range(3)]
    screws = [put(folder, f"screw/{number}.png") for number in range(3)]
    below = put(folder, "bolt/line 1/1.png")
    with monkeypatch.context() as patch:
        patch.setattr(drop_folder, "_write", write)
        assert look(folder, 5) == 4
    assert all("inspection" in result(path) for path in [*screws, below])
    assert len(inspections.done) == 5
    assert folder.status().why.endswith("it cannot be written: Read-only file system; mount that disk writable")
    bolts[0].write_bytes(b"replaced meanwhile")
    look(folder)
    assert all("inspection" in result(path) for path in bolts)
    assert result(bolts[0])["size"] == len(b"replaced meanwhile")


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
