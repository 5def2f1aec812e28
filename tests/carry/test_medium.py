"""A medium: what is written to it is complete, durable and read back, on real file systems that get pulled out."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from core.carry.medium import Medium
from core.carry.open_target import open_target
from core.carry.shipment import blob_path
from core.carry.target import UNFINISHED
from core.content import WrongContent
from core.errors import Cancelled, XaivaError
from tests.support import require
from tests.support.disks import small_disk
from tests.support.media import EXFAT, EXT4, FAT32, MEBI, NTFS, FileSystem, StickMedium, medium_of
from tests.support.medium_contents import (
    ALL_KINDS,
    FOLDER,
    CutSource,
    check,
    content,
    ignore,
    opener,
    path_of,
    put,
    sha256,
)
from tests.support.proofs import full


@ALL_KINDS
def test_what_was_put_is_there_after_it_was_plugged_in_again(kind: FileSystem, stick: StickMedium) -> None:
    contents = [b"", b"x", content(3 * MEBI + 1), content(40 * MEBI)]
    durable: list[int] = []
    with Medium(stick.mount) as medium:
        assert (medium.info.file_system, medium.info.through_fuse) == (kind.name, kind.fuse)
        assert (medium.info.mount.device, medium.info.findings) == (stick.device, ())
        medium.require_writable()
        for data in contents:
            medium.put(path_of(data), len(data), sha256(data), opener(data), durable.append)
        medium.flush()
        assert sum(durable) == sum(map(len, contents))
        assert medium.names() == {path_of(data) + UNFINISHED: len(data) for data in contents}
        read: list[int] = []
        result = medium.check(
            {path_of(data) + UNFINISHED: (sha256(data), len(data)) for data in contents}, read.append, lambda: False
        )
        assert (result.problems, result.from_medium, result.why_not) == ({}, True, "")
        assert sum(read) == sum(map(len, contents))
        medium.finish(path_of(data) for data in contents)
        medium.finish(path_of(data) for data in contents)
        medium.write_small(f"{FOLDER}/manifest.json", b"old")
        medium.write_small(f"{FOLDER}/manifest.json", b"new")
    stick.unmount()
    stick.remount()
    with Medium(stick.mount) as medium:
        assert check(medium, *contents) == {}
        assert medium.read_small(f"{FOLDER}/manifest.json", 3) == b"new"
        assert medium.names() == {f"{FOLDER}/manifest.json": 3, **{path_of(data): len(data) for data in contents}}
        medium.remove([f"{FOLDER}/manifest.json", f"{FOLDER}/absent"])
        assert os.listdir(stick.mount / "shipments") == []


@pytest.mark.parametrize("kind", [EXFAT, NTFS, EXT4], ids=lambda kind: kind.name)
def test_it_goes_on_inside_a_file(stick: StickMedium) -> None:
    """Not on FAT32 here: fusefat damages a file that it appends to, so that it is written again."""
    data = content(5 * MEBI)
    offsets: list[int] = []

    def open_at(offset: int) -> io.BytesIO:
        offsets.append(offset)
        return opener(data)(offset)  # type: ignore[return-value]

    def fail() -> None:
        raise OSError(5, "Input/output error")

    with Medium(stick.mount) as medium:
        with pytest.raises(XaivaError, match="cannot be read: Input/output error"):
            medium.put(path_of(data), len(data), sha256(data), lambda _: CutSource(data, 3 * MEBI, fail), ignore)
        medium.put(path_of(data), len(data), sha256(data), open_at, ignore)
        assert offsets == [3 * MEBI]
        durable: list[int] = []
        medium.put(path_of(data), len(data), sha256(data), open_at, durable.append)
        medium.flush()
        assert (offsets, durable) == ([3 * MEBI], [len(data)])
        assert check(medium, data, suffix=UNFINISHED) == {}


@pytest.mark.parametrize("start", [b"other", content(5 * MEBI, seed=1), content(9 * MEBI)], ids=len)
def test_a_start_that_does_not_fit_is_written_again(start: bytes, tmp_path: Path) -> None:
    data = content(5 * MEBI)
    unfinished = tmp_path / (path_of(data) + UNFINISHED)
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(start)
    durable: list[int] = []
    with Medium(tmp_path) as medium:
        medium.put(path_of(data), len(data), sha256(data), opener(data), durable.append)
        medium.flush()
    assert sum(durable) == len(data)
    assert unfinished.read_bytes() == data


@pytest.mark.parametrize(("source", "why"), [(b"abd", "has another content"), (b"ab", "ends after 2 of 3 bytes")])
def test_a_source_that_has_changed_is_refused(source: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "source"
    file.write_bytes(source)
    target = tmp_path / "medium"
    target.mkdir()
    with Medium(target) as medium:
        with pytest.raises(WrongContent, match=why) as raised:
            medium.put(path_of(b"abc"), 3, sha256(b"abc"), lambda _: file.open("rb", buffering=0), ignore)
        assert str(file) in raised.value.what
        assert medium.names() == {}


@pytest.mark.proof("carry")
@pytest.mark.parametrize(
    ("kind", "count"), [(EXFAT, 20_000 if full("carry") else 2000), (FAT32, 500)], ids=["exFAT", "FAT32"]
)
def test_many_small_files(kind: FileSystem, count: int, tmp_path: Path) -> None:
    """FAT32 gets fewer, because fusefat takes 3 ms for each."""
    with medium_of(kind, tmp_path / "stick", 1024 * MEBI) as stick:
        put_many(stick, [b"%d" % number for number in range(count)])


def put_many(stick: StickMedium, contents: list[bytes]) -> None:
    durable: list[int] = []
    with Medium(stick.mount) as medium:
        for data in contents:
            medium.put(path_of(data), len(data), sha256(data), opener(data), durable.append)
        medium.finish(path_of(data) for data in contents)
        assert sum(durable) == sum(map(len, contents))
        assert check(medium, *contents) == {}
    stick.unmount()
    stick.remount()
    with Medium(stick.mount) as medium:
        assert medium.names() == {path_of(data): len(data) for data in contents}


@ALL_KINDS
def test_a_byte_that_changed_on_the_device_is_found(stick: StickMedium) -> None:
    data, other = content(8 * MEBI), content(MEBI)
    with Medium(stick.mount) as medium:
        put(medium, other)
        path = put(medium, data)
        assert check(medium, data, other, suffix=UNFINISHED) == {}
        assert (stick.mount / (path + UNFINISHED)).read_bytes() == data
        change_byte(stick.backing, data[5 * MEBI : 5 * MEBI + 64])
        assert (stick.mount / (path + UNFINISHED)).read_bytes() == data, "memory still has the old byte"
        problems = check(medium, data, other, suffix=UNFINISHED)
        assert list(problems) == [path + UNFINISHED]
        assert "its content is damaged" in problems[path + UNFINISHED]
        put(medium, data)
        assert check(medium, data, other, suffix=UNFINISHED) == {}


def change_byte(backing: Path, pattern: bytes) -> None:
    with backing.open("r+b", buffering=0) as file:
        position = backing.read_bytes().index(pattern)
        file.seek(position)
        file.write(bytes([pattern[0] ^ 1]))
        os.fsync(file.fileno())


def test_check_names_what_is_missing_short_or_no_file(tmp_path: Path) -> None:
    good, short, folder = content(10), content(20), content(30)
    with Medium(tmp_path) as medium:
        medium.write_small(path_of(good), good)
        medium.write_small(path_of(short), short[:-1])
        (tmp_path / path_of(folder)).mkdir(parents=True)
        problems = check(medium, good, short, folder, b"absent")
    assert problems == {
        path_of(short): "it has 19 bytes instead of 20",
        path_of(folder): "it is not a file",
        path_of(b"absent"): "it is missing",
    }


def test_check_stops_when_it_is_cancelled(tmp_path: Path) -> None:
    with Medium(tmp_path) as medium:
        path = put(medium, b"x")
        with pytest.raises(Cancelled):
            medium.check({path + UNFINISHED: (sha256(b"x"), 1)}, ignore, lambda: True)


@pytest.mark.parametrize("kind", [EXFAT], ids=lambda kind: kind.name)
def test_a_check_that_may_have_read_memory_says_so(stick: StickMedium) -> None:
    with Medium(stick.mount) as medium:
        path = put(medium, b"x")
        os.seteuid(65534)
        try:
            result = medium.check({path + UNFINISHED: (sha256(b"x"), 1)}, ignore, lambda: False)
        finally:
            os.seteuid(0)
    assert (result.problems, result.from_medium) == ({}, False)
    assert result.why_not == f"it lies behind FUSE on {stick.device}, which this user may not read (Permission denied)"


def test_a_disk_in_memory_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk, Medium(disk) as medium:
        put(medium, b"x")
        result = medium.check({}, ignore, lambda: False)
        assert (medium.info.file_system, result.from_medium) == ("tmpfs", False)
        assert "tmpfs has no device" in result.why_not


def test_a_stream_is_stored_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.carry.medium.PART_BYTES", 2 * MEBI)
    data = content(5 * MEBI)
    with Medium(tmp_path) as medium:
        stored = medium.put_stream(sha256(data), io.BytesIO(data), ignore)
        assert [blob.size for blob in stored.blobs()] == [2 * MEBI, 2 * MEBI, MEBI]
        assert (stored.sha256, stored.size) == (sha256(data), len(data))
        exact = medium.put_stream(None, io.BytesIO(data[: 2 * MEBI]), ignore)
        assert exact.blobs() == stored.blobs()[:1]
        medium.finish(blob_path(blob.sha256) for blob in stored.blobs())
        assert b"".join((tmp_path / blob_path(blob.sha256)).read_bytes() for blob in stored.blobs()) == data
        before = medium.names()
        with pytest.raises(WrongContent):
            medium.put_stream(sha256(data), io.BytesIO(b"other"), ignore)
        assert medium.names() == before


def test_a_plain_folder_is_allowed_and_said(tmp_path: Path) -> None:
    require(os.stat(tmp_path).st_dev == os.stat("/").st_dev, "a temporary folder on the root file system")
    with open_target(f"{tmp_path}") as medium:
        assert isinstance(medium, Medium)
        (finding,) = medium.info.findings
    assert (finding.code, finding.what) == ("medium-not-mounted", f"Nothing is mounted at {tmp_path}")


@pytest.mark.parametrize(("name", "why"), [("absent", "there is no such folder"), ("file", "it is not a folder")])
def test_a_medium_is_a_folder(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(XaivaError, match=why):
        Medium(tmp_path / name)


def test_things_of_others_are_left_alone(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "medium"
    elsewhere.mkdir()
    (elsewhere / "secret").touch()
    (folder / "shipments/Photos 2026").mkdir(parents=True)
    (folder / "shipments/Photos 2026/á.jpg").write_bytes(b"12")
    (folder / "shipments/link").symlink_to(elsewhere)
    (folder / "blobs").symlink_to(elsewhere)
    with Medium(folder) as medium:
        assert medium.names() == {"shipments/Photos 2026/á.jpg": 2}
        with pytest.raises(XaivaError, match="something else lies there"):
            put(medium, b"x")
        os.mkfifo(folder / "shipments/pipe")
        with pytest.raises(XaivaError, match="it is a named pipe, not a file"):
            medium.read_small("shipments/pipe", 1)
        with pytest.raises(ValueError, match="not a path on a medium"):
            medium.write_small("shipments/../../out", b"x")
    assert [path.name for path in elsewhere.iterdir()] == ["secret"]


def test_a_file_that_vanished_before_it_was_finished_is_said(tmp_path: Path) -> None:
    with Medium(tmp_path) as medium:
        path = put(medium, b"x")
        (tmp_path / (path + UNFINISHED)).unlink()
        with pytest.raises(XaivaError, match="another program has removed it"):
            medium.finish([path])
