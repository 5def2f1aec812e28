"""Keys and local names, as the table in docs/storage.md says."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from core.errors import InputError
from core.inference.storage.folder import Folder
from core.inference.storage.listing import read_page
from core.inference.storage.model import KeyConflict, NameFinding, NoObject, ObjectInfo, StorageDown, StorageRefused
from core.inference.storage.names import local_name, why_unusable
from core.inference.storage.signed_urls import UrlSigner
from tests.storage.test_storages import HARD_NAMES
from tests.support import require

UNUSABLE = {
    "/lead": "begins with /",
    "": "empty",
    "a//b": "contains //",
    "a//": "contains //",
    "a/": "ends with /",
    "a/../b": "contains . or ..",
    "..": "contains . or ..",
    "./a": "contains . or ..",
    "a/.": "contains . or ..",
    "tab\t": "control character",
    "nul\0": "control character",
    "delete\x7f": "control character",
    "x" * 1025: "1025 bytes",
    "한" * 342: "1026 bytes",
    "not utf-8 \udcff": "not UTF-8",
}
PAIRS = [
    (unicodedata.normalize("NFC", "한글.png"), unicodedata.normalize("NFD", "한글.png")),
    ("a.jpg", "A.JPG"),
    ("a", "a/b"),
    ("a b", "a+b"),
    ("a%2Fb", "a/b"),
    ("x" * 1000, "x" * 999 + "y"),
    ("normal/cap/1.jpg", "normal/lid/1.jpg"),
]


def listing(*keys: str) -> bytes:
    """A page as a server sends it; keys are encoded, because XML cannot hold all of them."""
    contents = "".join(
        f"<Contents><Key>{quote_plus(key, errors='surrogateescape')}</Key><Size>3</Size><ETag>&quot;e1&quot;</ETag>"
        "<LastModified>2026-11-30T20:00:00.000Z</LastModified></Contents>"
        for key in keys
    )
    head = '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
    return f"{head}<IsTruncated>false</IsTruncated>{contents}</ListBucketResult>".encode()


@pytest.mark.parametrize(("key", "why"), UNUSABLE.items(), ids=[ascii(key)[:20] for key in UNUSABLE])
def test_a_key_that_cannot_be_used_says_why(key: str, why: str) -> None:
    assert why in why_unusable(key)


@pytest.mark.parametrize("key", [*HARD_NAMES, "back\\slash", "a/b", "한" * 341])
def test_every_other_key_can_be_used(key: str) -> None:
    assert why_unusable(key) == ""


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_keys_never_meet_on_the_disk(tmp_path: Path, one: str, other: str) -> None:
    names = [local_name("bucket", key, "e1", 3) for key in (one, other)]
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == 2
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")  # neither is a folder of the other, or too long


def test_another_content_has_another_name() -> None:
    names = {local_name(*facts) for facts in itertools.product(("a", "b"), ("k", "l"), ("e", "f"), (1, 2))}
    assert len(names) == 16


def test_without_an_etag_another_time_is_another_name_and_fractions_of_a_second_do_not_count() -> None:
    listed = datetime(2026, 11, 30, 20, 0, 1, 250_000, timezone.utc)
    name = local_name("s", "k", "", 1, listed)
    assert name == local_name("s", "k", "", 1, listed.replace(microsecond=0))
    assert name != local_name("s", "k", "", 1, listed + timedelta(seconds=1))
    assert local_name("s", "k", "e", 1, listed) == local_name("s", "k", "e", 1)


def test_local_names_are_plain_and_keep_their_ending() -> None:
    assert local_name("s", "normal/뚜껑 #1.JPG", "e", 1).endswith(".jpg")
    for key in (*HARD_NAMES, "-rf", ".hidden", "a.tar.gz", "x." + "y" * 30, "CON", "a:b*c?"):
        name = local_name("s", key, "e", 1)
        assert len(name) < 100
        assert name.isascii()
        assert not set(name) & set(' :*?"<>|\\%+~')
        assert not name.partition("/")[2].startswith((".", "-"))


def test_a_bad_name_in_a_bucket_is_a_finding_and_the_others_are_listed() -> None:
    bad = [key for key in UNUSABLE if key not in ("", "a/")]
    page = read_page(listing("good.jpg", *bad, "also good.jpg", "a/", "b/.folder"), "")
    assert [each.key for each in page.entries if isinstance(each, ObjectInfo)] == ["good.jpg", "also good.jpg"]
    findings = [each for each in page.entries if isinstance(each, NameFinding)]
    assert [each.why for each in findings] == [why_unusable(key) for key in bad]
    assert all(each.key.isprintable() for each in findings)


@pytest.mark.parametrize("written", ["20:00:00", "20:00:00Z", "20:00:00.25Z", "20:00:00.123456789Z", "22:00:00+02:00"])
def test_times_in_every_notation_can_be_compared(written: str) -> None:
    page = read_page(listing("a.jpg").replace(b"20:00:00.000Z", written.encode()), "")
    assert [each.modified for each in page.entries if isinstance(each, ObjectInfo)] == [
        datetime(2026, 11, 30, 20, tzinfo=timezone.utc)
    ]


def test_a_key_outside_the_prefix_is_not_taken() -> None:
    page = read_page(listing("line 1/a.jpg", "line 2/b.jpg"), "line 1/")
    assert [each.key for each in page.entries] == ["a.jpg"]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "images").mkdir()
    return Folder(tmp_path / "images", UrlSigner(tmp_path))


def test_what_cannot_be_used_in_a_folder_is_a_finding(folder: Folder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"secret")
    root = folder.root
    (root / "good.jpg").write_bytes(b"good")
    (root / "link.jpg").symlink_to(outside / "secret.jpg")
    (root / "linked").symlink_to(outside)
    os.mkfifo(root / "pipe.jpg")
    (root / "bell\x07").mkdir()
    (root / "bell\x07" / "1.jpg").write_bytes(b"")
    with open(os.fsencode(root) + b"/latin-\xe9.jpg", "wb"):
        pass
    (root / ".xaiva-tmp-123").write_bytes(b"half")
    found = list(folder.list_objects())
    assert [each.key for each in found if isinstance(each, ObjectInfo)] == ["good.jpg"]
    assert {each.key: each.why for each in found if isinstance(each, NameFinding)} == {
        "link.jpg": "it is a link; links are not followed",
        "linked": "it is a link; links are not followed",
        "pipe.jpg": "it is a named pipe, not a file",
        "bell\\u0007/": "its name contains a control character",
        "latin-\\xe9.jpg": "its name is not UTF-8",
    }


def test_a_folder_is_listed_as_deep_as_a_key_can_name_it(folder: Folder) -> None:
    key = "a/" * 509 + "1.jpg"
    (folder.root / key).parent.mkdir(parents=True)
    (folder.root / key).write_bytes(b"")
    assert [each.key for each in folder.list_objects()] == [key]


def test_the_time_of_a_file_is_when_it_came_whatever_it_says_itself(folder: Folder) -> None:
    begun = time.time() - 1  # the clock of a file system may lag a tick
    for name, moment in (("copied.jpg", 1e9), ("clock ahead.jpg", 4e9)):
        (folder.root / name).write_bytes(b"")
        os.utime(folder.root / name, (moment, moment))
    for found in folder.list_objects():
        assert isinstance(found, ObjectInfo)
        assert found.modified is not None
        assert begun <= found.modified.timestamp() <= time.time()


def test_pages_get_past_a_folder_that_cannot_be_used(folder: Folder) -> None:
    for name in ("bad\x07", "good"):
        (folder.root / name).mkdir()
        (folder.root / name / "1.jpg").write_bytes(b"")
    first = folder.list_page(limit=1)
    second = folder.list_page(limit=1, cursor=first.cursor)
    assert [each.key for each in (*first.entries, *second.entries)] == ["bad\\u0007/", "good/1.jpg"]
    assert second.cursor == ""


def test_a_file_that_grows_while_it_is_read_has_the_size_of_what_was_read(folder: Folder, tmp_path: Path) -> None:
    (folder.root / "growing.jpg").write_bytes(b"begin")

    def grow(_count: int) -> None:
        if (folder.root / "growing.jpg").stat().st_size == 5:
            with open(folder.root / "growing.jpg", "ab") as file:
                file.write(b" and more")

    with open(tmp_path / "part", "w+b") as part:
        found = asyncio.run(folder.fetch_object(ObjectInfo("growing.jpg", 5, "", None), part, grow))
        assert part.tell() == found.size == 14


@pytest.mark.parametrize("key", ["linked/secret.jpg", "link.jpg", "linked/new.jpg"])
def test_no_link_leads_out_of_a_folder(folder: Folder, tmp_path: Path, key: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"secret")
    (folder.root / "link.jpg").symlink_to(outside / "secret.jpg")
    (folder.root / "linked").symlink_to(outside)
    with pytest.raises((KeyConflict, NoObject)):
        folder.download_file(key, tmp_path / "fetched")
    (tmp_path / "source").write_bytes(b"new")
    if "/" in key:
        with pytest.raises(KeyConflict):
            folder.upload_file(key, tmp_path / "source")
        with pytest.raises(KeyConflict):
            folder.delete_file(key)
    else:
        folder.upload_file(key, tmp_path / "source")  # replaces the link, not what it leads to
    assert (outside / "secret.jpg").read_bytes() == b"secret"
    assert [path.name for path in outside.iterdir()] == ["secret.jpg"]
    assert not (tmp_path / "fetched").exists()


def test_a_folder_that_is_not_there_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(StorageDown, match="is not there"):
        list(Folder(tmp_path / "unmounted", UrlSigner(tmp_path)).list_objects())


def test_a_folder_that_cannot_be_read_is_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    require(os.geteuid() == 0, "root, to act as somebody else")
    (folder.root / "normal" / "cap" / "locked").mkdir(parents=True)
    for path, mode in ((".", 0o755), ("normal", 0o755), ("normal/cap", 0o755), ("normal/cap/locked", 0o700)):
        (folder.root / path).chmod(mode)
    monkeypatch.chdir(folder.root)  # somebody else may not enter what lies above
    os.seteuid(65534)
    try:
        with pytest.raises(StorageRefused, match="normal/cap/locked/: Permission denied"):
            list(Folder(Path(), UrlSigner(Path())).list_objects("normal/"))
    finally:
        os.seteuid(0)


def test_a_file_and_a_folder_of_one_name_cannot_both_lie_in_a_folder(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    folder.upload_file("a", tmp_path / "source")
    with pytest.raises(KeyConflict):
        folder.upload_file("a/b", tmp_path / "source")
    folder.upload_file("b/c", tmp_path / "source")
    with pytest.raises(KeyConflict):
        folder.upload_file("b", tmp_path / "source")


def test_an_upload_survives_that_its_folder_is_removed_as_empty(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_parent = Folder._open_parent
    removals = iter((True, True, False))

    @contextlib.contextmanager
    def removed_by_another(self: Folder, key: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        with open_parent(self, key, create=create) as opened:
            if next(removals):
                shutil.rmtree(folder.root / "a")
            yield opened

    (tmp_path / "source").write_bytes(b"whole")
    monkeypatch.setattr(Folder, "_open_parent", removed_by_another)
    folder.upload_file("a/b/c.jpg", tmp_path / "source")
    assert (folder.root / "a/b/c.jpg").read_bytes() == b"whole"


def test_deleting_the_last_object_removes_its_empty_folders_but_never_the_root(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    folder.upload_file("a/b/c.jpg", tmp_path / "source")
    folder.upload_file("a/d.jpg", tmp_path / "source")
    folder.delete_file("a/b/c.jpg")
    assert [path.name for path in (folder.root / "a").iterdir()] == ["d.jpg"]
    folder.delete_file("a/d.jpg")
    assert list(folder.root.iterdir()) == []
    assert folder.root.is_dir()


KILLED_UPLOAD = """
import os, signal, sys
from pathlib import Path
from core.inference.storage.folder import Folder
from core.inference.storage.signed_urls import UrlSigner
os.fsync = lambda _handle: os.kill(os.getpid(), signal.SIGKILL)
Folder(Path(sys.argv[1]), UrlSigner(Path(sys.argv[1]))).upload_file("normal/cap/1.jpg", Path(sys.argv[2]))
"""


@pytest.fixture
def leftover(folder: Folder, tmp_path: Path) -> Path:
    """What an upload to `normal/cap/1.jpg` left that was killed before its file got its name."""
    (tmp_path / "source").write_bytes(b"x")
    command = [sys.executable, "-c", KILLED_UPLOAD, str(folder.root), str(tmp_path / "source")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (path,) = (folder.root / "normal" / "cap").iterdir()
    return path


def test_what_a_killed_upload_left_is_removed_after_an_hour(folder: Folder, leftover: Path) -> None:
    assert list(folder.list_objects("normal/")) == []
    assert leftover.exists(), "the upload may go on"
    os.utime(leftover, (time.time() - 3700,) * 2)
    assert list(folder.list_objects("normal/")) == []
    assert not leftover.exists()


def test_a_folder_with_nothing_but_a_killed_upload_is_empty(folder: Folder, leftover: Path) -> None:
    folder.delete_file("normal/cap/")
    assert not leftover.exists()
    assert list(folder.root.iterdir()) == []


def test_only_files_of_uploads_are_removed(folder: Folder) -> None:
    for name in (".xaiva-tmp-1-copy", "notes.txt"):
        (folder.root / name).write_bytes(b"x")
        os.utime(folder.root / name, (1, 1))
    assert [entry.key for entry in folder.list_objects()] == ["notes.txt"]
    assert sorted(path.name for path in folder.root.iterdir()) == [".xaiva-tmp-1-copy", "notes.txt"]


@pytest.mark.parametrize("key", [".xaiva-tmp-upload-1", "normal/.xaiva-tmp-1.jpg", ".xaiva-tmp-1/a.jpg"])
def test_a_key_that_no_listing_shows_is_refused(folder: Folder, tmp_path: Path, key: str) -> None:
    (tmp_path / "source").write_bytes(b"x")
    with pytest.raises(InputError, match=r"begins with \.xaiva-tmp-"):
        folder.upload_file(key, tmp_path / "source")
    with pytest.raises(InputError, match=r"begins with \.xaiva-tmp-"):
        folder.get_url(key, timedelta(hours=1))
    assert list(folder.root.iterdir()) == []
