"""`xaiva storage` against a real service whose storage is a folder."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.site import Site
from tests.api.serving import TOKEN, Running, served
from tests.cli.conftest import Xaiva


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("service")) as one:
        yield one


@pytest.fixture
def xaiva_here(xaiva: Xaiva, site: Site, running: Running) -> Xaiva:
    """The command line on a site that has the service's token."""
    (site.root / "site.toml").write_text(f'[service]\nurl = "{running.url}"\n')
    (site.root / ".env").write_text(f"XAIVA_SERVICE_TOKEN={TOKEN}\n")
    return xaiva


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of pictures, with a link in it."""
    folder = tmp_path / "cap"
    (folder / "wide").mkdir(parents=True)
    (folder / "1 한글.jpg").write_bytes(b"one")
    (folder / "wide" / "2.jpg").write_bytes(b"two")
    (folder / "link.jpg").symlink_to("/etc/hostname")
    return folder


def test_an_empty_storage_says_where_it_is(xaiva_here: Xaiva) -> None:
    listed = xaiva_here("storage", "ls", "nothing/")
    assert listed.code == 0
    assert "nothing lies below nothing/" in listed.err


def test_a_folder_goes_in_is_listed_and_comes_back(xaiva_here: Xaiva, pictures: Path, tmp_path: Path) -> None:
    put = xaiva_here("storage", "put", str(pictures), "normal/", "--json")
    assert put.code == 0, put.out + put.err
    assert put.document["stored"] == ["normal/cap/1 한글.jpg", "normal/cap/wide/2.jpg"]
    assert put.document["skipped"] == [str(pictures / "link.jpg")]
    level = xaiva_here("storage", "ls", "normal/cap/", "--json").document
    assert level["folders"] == ["normal/cap/wide/"]
    assert [each["key"] for each in level["objects"]] == ["normal/cap/1 한글.jpg"]
    every = xaiva_here("storage", "ls", "normal/", "--recursive")
    assert "normal/cap/wide/2.jpg" in every.out
    assert xaiva_here("storage", "get", "normal/cap/1 한글.jpg", str(tmp_path)).code == 0
    assert (tmp_path / "1 한글.jpg").read_bytes() == b"one"
    again = xaiva_here("storage", "get", "normal/cap/1 한글.jpg", str(tmp_path))
    assert again.code == 2
    assert "--force" in again.err


def test_an_address_gives_the_object_until_it_expires(xaiva_here: Xaiva, pictures: Path) -> None:
    xaiva_here("storage", "put", str(pictures / "1 한글.jpg"), "single.jpg")
    printed = xaiva_here("storage", "url", "single.jpg", "--hours", "0.5")
    assert urllib.request.urlopen(printed.out.strip()).read() == b"one"
    assert "valid until" in printed.err


def test_a_folder_is_deleted_only_when_that_was_asked_for(xaiva_here: Xaiva, pictures: Path) -> None:
    xaiva_here("storage", "put", str(pictures), "old/")
    assert xaiva_here("storage", "rm", "old/", "--yes").code == 2
    removed = xaiva_here("storage", "rm", "old/", "--recursive", "--yes", "--json")
    assert removed.document["deleted"] == ["old/cap/1 한글.jpg", "old/cap/wide/2.jpg"]
    assert xaiva_here("storage", "ls", "old/", "--recursive", "--json").document["objects"] == []


def test_what_does_not_exist_is_not_said_to_be_deleted(xaiva_here: Xaiva, running: Running, pictures: Path) -> None:
    xaiva_here("storage", "put", str(pictures / "1 한글.jpg"), "there.jpg")
    mistyped = xaiva_here("storage", "rm", "there.jp", "--yes")
    assert (mistyped.code, "nothing lies there" in mistyped.err) == (2, True)
    (running.service.settings.data / "images" / "link").symlink_to("/etc/hostname")
    for key in ("there.jpg", "link"):
        assert xaiva_here("storage", "rm", key, "--yes", "--json").document["deleted"] == [key]


def test_an_empty_folder_can_be_deleted(xaiva_here: Xaiva, running: Running) -> None:
    folder = running.service.settings.data / "images" / "empty"
    folder.mkdir(parents=True)
    assert xaiva_here("storage", "rm", "empty/", "--recursive", "--yes", "--json").document["deleted"] == ["empty/"]
    assert not folder.exists()
    again = xaiva_here("storage", "rm", "empty/", "--recursive", "--yes")
    assert (again.code, "nothing lies there" in again.err) == (2, True)


@pytest.mark.parametrize("words", [("ls",), ("get", "."), ("rm", "--yes"), ("url",)])
def test_a_key_that_is_not_utf_8_is_refused(xaiva_here: Xaiva, words: tuple[str, ...]) -> None:
    command, *rest = words
    run = xaiva_here("storage", command, "latin-\udce9.jpg", *rest)
    assert run.code == 2
    assert "it is not UTF-8" in run.err


def test_a_file_whose_name_is_no_key_is_named_before_anything_is_stored(xaiva_here: Xaiva, pictures: Path) -> None:
    (pictures / "latin-\udce9.jpg").write_bytes(b"")
    run = xaiva_here("storage", "put", str(pictures), "refused/")
    assert run.code == 2
    assert "its name is not UTF-8" in run.err
    assert xaiva_here("storage", "ls", "refused/", "--json").document["folders"] == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("put", "{missing}", "normal/"), "no such file"),
        (("put", "{folder}", "normal"), "cannot have one key"),
        (("get", "normal/none.jpg", "{missing}"), "no such object"),
        (("put", "{file}", "a/../b"), "contains . or .."),
        (("get", "normal/", "{folder}"), "names no object"),
    ],
)
def test_what_cannot_be_done_is_said(xaiva_here: Xaiva, pictures: Path, words: tuple[str, ...], why: str) -> None:
    paths = {"missing": pictures / "none", "folder": pictures, "file": pictures / "1 한글.jpg"}
    run = xaiva_here("storage", *(word.format(**paths) for word in words))
    assert run.code == 2
    assert why in run.err
