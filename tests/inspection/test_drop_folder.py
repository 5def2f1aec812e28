"""The drop folder: pictures get a result beside them, once, whatever the folder and its writers do."""

from __future__ import annotations

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
        self.raises: dict[str, XaivaError] = {}

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
