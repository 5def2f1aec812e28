"""What every storage does, over a folder, `rclone serve s3` and SeaweedFS."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest

from core.errors import InputError
from core.inference.storage.bucket import Bucket
from core.inference.storage.model import NoObject, ObjectInfo, ObjectStorage

COMPOSED = unicodedata.normalize("NFC", "한글.png")
DECOMPOSED = unicodedata.normalize("NFD", "한글.png")
HARD_NAMES = [
    "with blank.jpg",
    " blank first",
    "blank last ",
    COMPOSED,
    DECOMPOSED,
    "plus+sign",
    "percent%2Fslash",
    "100%",
    "Upper.JPG",
    "upper.jpg",
    "question?x=1&y=2#z",
    "star*~tilde'\"quotes",
    "{curly}^[square]|`",
    "emoji😀",
    "line\u2028separator",
    "..two-dots",
    "dot.",
    "x" * 200,
    "/".join(["y" * 230] * 4) + "/picture.jpg",  # nearly as long as a key may be
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"one picture")
    return path


def keys(storage: ObjectStorage, prefix: str = "") -> list[str]:
    return [entry.key for entry in storage.list_objects(prefix) if isinstance(entry, ObjectInfo)]


def test_what_is_uploaded_is_listed_and_comes_back(storage: ObjectStorage, source: Path, tmp_path: Path) -> None:
    stored = storage.upload_file("normal/cap/1.jpg", source)
    (listed,) = storage.list_objects()
    assert isinstance(listed, ObjectInfo)
    fetched = storage.download_file("normal/cap/1.jpg", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == b"one picture"
    assert (stored.key, stored.size, stored.etag) == ("normal/cap/1.jpg", 11, listed.etag)
    assert (fetched.key, fetched.size, fetched.etag) == (listed.key, listed.size, listed.etag)
    assert listed.modified is not None


def test_a_replaced_object_has_another_etag(storage: ObjectStorage, source: Path) -> None:
    first = storage.upload_file("a.jpg", source)
    source.write_bytes(b"two picture")
    second = storage.upload_file("a.jpg", source)
    assert first.etag != second.etag
    assert [entry.etag for entry in storage.list_objects() if isinstance(entry, ObjectInfo)] == [second.etag]


def test_every_name_that_can_be_used_comes_back_as_it_was(storage: ObjectStorage, source: Path, tmp_path: Path) -> None:
    for number, name in enumerate(HARD_NAMES):
        source.write_text(str(number))
        storage.upload_file(f"normal/{name}", source)
    assert sorted(keys(storage, "normal/")) == sorted(f"normal/{name}" for name in HARD_NAMES)
    for number, name in enumerate(HARD_NAMES):
        storage.download_file(f"normal/{name}", tmp_path / "fetched")
        assert (tmp_path / "fetched").read_text() == str(number)


@pytest.mark.parametrize("key", ["", "/lead", "a//b", "a/../b", "./a", "..", "tab\there", "bell\x07", "x" * 1025, "a/"])
def test_a_key_that_cannot_be_used_is_refused(storage: ObjectStorage, source: Path, tmp_path: Path, key: str) -> None:
    for work in (
        lambda: storage.upload_file(key, source),
        lambda: storage.download_file(key, tmp_path / "fetched"),
        lambda: storage.get_url(key, timedelta(hours=1)),
    ):
        with pytest.raises(InputError):
            work()
    assert not (tmp_path / "fetched").exists()
    assert not keys(storage)


def test_a_listing_has_one_level_or_all(storage: ObjectStorage, source: Path) -> None:
    for key in ("defect/cap/scratch/1.jpg", "normal/cap/1.jpg", "normal/cap/2.jpg", "normal/lid/1.jpg", "readme"):
        storage.upload_file(key, source)
    assert sorted(keys(storage, "normal/")) == ["normal/cap/1.jpg", "normal/cap/2.jpg", "normal/lid/1.jpg"]
    assert sorted(keys(storage, "normal/c")) == ["normal/cap/1.jpg", "normal/cap/2.jpg"]
    assert keys(storage, "nothing/") == []
    top = storage.list_page(level=True)
    assert top.folders == ["defect/", "normal/"]
    assert [entry.key for entry in top.entries] == ["readme"]
    assert storage.list_page("normal/", level=True).folders == ["normal/cap/", "normal/lid/"]


def test_pages_follow_each_other_without_gap_or_repetition(storage: ObjectStorage, source: Path) -> None:
    wanted = [f"normal/{folder}/{number}.jpg" for folder in ("a", "a b", "가") for number in range(5)]
    for key in wanted:
        storage.upload_file(key, source)

    def pages() -> Iterator[str]:
        cursor = ""
        while True:
            page = storage.list_page("normal/", cursor=cursor, limit=4)
            assert len(page.entries) <= 4
            yield from (entry.key for entry in page.entries)
            cursor = page.cursor
            if not cursor:
                return

    assert sorted(pages()) == sorted(keys(storage, "normal/")) == sorted(wanted)  # SeaweedFS has an order of its own


def test_a_folder_shows_up_although_it_is_empty_and_is_no_object(storage: ObjectStorage) -> None:
    storage.create_folder("normal/cap/")
    assert storage.list_page("normal/", level=True).folders == ["normal/cap/"]
    assert not keys(storage)


def test_a_deleted_object_is_gone_and_may_be_deleted_again(
    storage: ObjectStorage, source: Path, tmp_path: Path
) -> None:
    storage.upload_file("normal/cap/1.jpg", source)
    storage.delete_file("normal/cap/1.jpg")
    storage.delete_file("normal/cap/1.jpg")
    assert not keys(storage)
    with pytest.raises(NoObject):
        storage.download_file("normal/cap/1.jpg", tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_an_object_of_many_parts_comes_back_whole(storage: ObjectStorage, source: Path, tmp_path: Path) -> None:
    content = os.urandom(12 << 20)  # its ETag is no MD5 of the content
    source.write_bytes(content)
    stored = storage.upload_file("big.tiff", source)
    fetched = storage.download_file("big.tiff", tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == content
    assert (fetched.size, fetched.etag) == (stored.size, stored.etag)


def test_an_empty_object_is_an_object(storage: ObjectStorage, source: Path, tmp_path: Path) -> None:
    source.write_bytes(b"")
    storage.upload_file("empty.jpg", source)
    assert storage.download_file("empty.jpg", tmp_path / "fetched").size == 0
    assert (tmp_path / "fetched").read_bytes() == b""


def test_the_address_of_a_bucket_gives_the_object_to_anybody(storage: ObjectStorage, source: Path) -> None:
    storage.upload_file(f"normal/{COMPOSED}", source)
    url = storage.get_url(f"normal/{COMPOSED}", timedelta(hours=1))
    if isinstance(storage, Bucket):
        with urlopen(url) as answer:
            assert answer.read() == b"one picture"
    else:
        assert url.startswith("/storage/signed?")


@pytest.mark.parametrize("expires", [timedelta(), timedelta(days=8), timedelta(seconds=-1)])
def test_an_address_is_valid_for_a_week_at_most(storage: ObjectStorage, expires: timedelta) -> None:
    with pytest.raises(InputError):
        storage.get_url("a.jpg", expires)


def test_a_source_that_is_not_there_is_named(storage: ObjectStorage, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jpg"):
        storage.upload_file("a.jpg", tmp_path / "nowhere.jpg")
