"""Faults of the drop folder: each stops what it concerns and nothing else, and is told."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import XaivaError
from core.inference.inspection import drop_folder
from core.inference.inspection.drop_folder import DropFolder
from tests.inspection.dropped import Inspections, look, put, result


def test_after_a_fault_that_may_pass_the_picture_is_tried_again(folder: DropFolder, inspections: Inspections) -> None:
    inspections.raises["screw"] = XaivaError("Model features", "there is no room for it")
    put(folder, "screw/1.png")
    assert look(folder) == 0
    assert (folder.status().state, folder.status().why) == ("failing", "Model features: there is no room for it")
    inspections.raises.clear()
    assert look(folder, 1) == 1
    assert folder.status().state == "ok"


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
    hangs, release = threading.Event(), threading.Event()

    def list_folders(*_: object) -> Iterator[tuple[Path, dict[str, os.DirEntry[str]]]]:
        hangs.set()
        release.wait(60)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(drop_folder, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(drop_folder, "SILENT_SECONDS", 0.0)
    monkeypatch.setattr(drop_folder, "STOP_SECONDS", 0.0)
    monkeypatch.setattr(DropFolder, "_folders", list_folders)
    folder.start()
    try:
        assert hangs.wait(60)
        assert folder.status().state == "failing"
        assert "does not answer" in folder.status().why
        folder.stop()
    finally:
        release.set()


def test_a_pause_between_two_looks_is_no_silence(folder: DropFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop_folder, "PAUSE_SECONDS", 3600.0)
    monkeypatch.setattr(drop_folder, "SILENT_SECONDS", 0.0)
    folder.start()
    try:
        folder.run_once()
        assert folder.status().state == "ok"
    finally:
        folder.stop()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT])
def test_a_share_that_vanishes_ends_the_look_and_no_picture_stays_first(
    folder: DropFolder, inspections: Inspections, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    paths = [put(folder, f"screw/{name}.png") for name in range(4)]
    folder.run_once()
    tried: list[Path] = []
    real = drop_folder.read_regular_with_status

    def gone(path: Path) -> tuple[bytes, os.stat_result]:
        tried.append(path)
        raise OSError(number, os.strerror(number), str(path))

    def damaged(path: Path) -> tuple[bytes, os.stat_result]:
        return gone(path) if path == paths[0] else real(path)

    with monkeypatch.context() as patch:
        patch.setattr(drop_folder, "read_regular_with_status", gone)
        folder.run_once()
        assert len(tried) == 1  # each may take a minute
        assert folder.status().why == f"{tried[0]}: {os.strerror(number)}"
        patch.setattr(drop_folder, "read_regular_with_status", damaged)
        assert look(folder) == 3
    assert look(folder, 1) == 1
    assert folder.status().state == "ok"


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
