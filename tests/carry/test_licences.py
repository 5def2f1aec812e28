"""What wheels and Debian packages state about their licences, also damaged ones and those that were made to harm."""

from __future__ import annotations

import io
import random
import shutil
import zipfile
from pathlib import Path

import pytest

from core.carry.deb_licence import SharedDocuments, read_deb
from core.carry.licence import MAX_CHARACTERS, Licence, State
from core.carry.wheel_licence import read_wheel
from tests.support import require
from tests.support.artifacts import wheel_file
from tests.support.debs import MACHINE_READABLE, build_deb


def wheel_with(folder: Path, more: str) -> Path:
    path = folder / "thing-1.0-py3-none-any.whl"
    wheel_file(path, "thing", "1.0", more=more)
    return path


def licence_of_wheel(path: Path) -> Licence:
    with open(path, "rb") as file:
        return read_wheel(file)


# The licence of a wheel


@pytest.mark.parametrize(
    ("fields", "state", "text", "where"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other\n", State.STATED, "MIT OR Apache-2.0", "Expression"),
        ("License: BSD\nClassifier: License :: OSI Approved :: MIT License\n", State.STATED, "BSD", "License"),
        ("License: The text\n        of a licence\n", State.STATED, "The text …", "License"),
        (f"License: {'long ' * 100}\n", State.STATED, f"{('long ' * 100)[:MAX_CHARACTERS].rstrip()} …", "License"),
        (
            "License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n"
            "Classifier: License :: Public Domain\nClassifier: Topic :: Software\n",
            State.STATED,
            "MIT License, Public Domain",
            "Classifier",
        ),
        ("License-File: COPYING\n", State.INSIDE, "see COPYING in thing-1.0.dist-info", "License-File"),
        ("License: \nClassifier: Topic :: Software\n", State.NOT_STATED, "not stated", "METADATA"),
        ("Summary: x\n\nLicense: MIT is only in the description\n", State.NOT_STATED, "not stated", "METADATA"),
        ("License: a\x1b[2Jb\u202ec\n", State.STATED, "a\\u001b[2Jb\\u202ec", "License"),
    ],
)
def test_a_wheel_states_its_licence(tmp_path: Path, fields: str, state: State, text: str, where: str) -> None:
    licence = licence_of_wheel(wheel_with(tmp_path, fields))
    assert (licence.state, licence.text) == (state, text)
    assert licence.where.endswith(where)


def test_what_is_no_wheel_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert licence_of_wheel(path).state is State.UNREADABLE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.py", "")
    assert licence_of_wheel(path).text == "cannot be read: it has 0 METADATA files"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a-1.dist-info/METADATA", "b-1.dist-info/METADATA"):
            archive.writestr(name, "License: MIT\n")
    assert licence_of_wheel(path).text == "cannot be read: it has 2 METADATA files"


def test_metadata_that_unpacks_to_very_much_is_read_in_part(tmp_path: Path) -> None:
    path = tmp_path / "bomb.whl"
    endless, chunk = "a-1.dist-info/METADATA", b"X: " + b"0" * (1 << 20) + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(endless, "w") as file:
        for _ in range(64):
            file.write(chunk)
    assert path.stat().st_size < 1 << 20
    assert licence_of_wheel(path).text == "cannot be read: the fields of its METADATA are longer than 1 MiB"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(endless, b"License: MIT\n\n" + b"a long description\n" * 200_000)
    assert licence_of_wheel(path).text == "MIT"


def test_a_damaged_wheel_raises_nothing(tmp_path: Path) -> None:
    whole = wheel_with(tmp_path, "License: MIT\n").read_bytes()
    chance = random.Random(1)
    states = set()
    for _ in range(300):
        damaged = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.2 else whole)
        for _ in range(min(len(damaged), 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        states.add(read_wheel(io.BytesIO(bytes(damaged))).state)
    assert State.UNREADABLE in states


# The licence of a Debian package


@pytest.mark.parametrize("compression", ["xz", "gzip", "zstd", "none"])
def test_a_package_states_its_licences(tmp_path: Path, compression: str) -> None:
    require(compression != "zstd" or shutil.which("zstd"), "zstd")
    path = build_deb(tmp_path, "tool", MACHINE_READABLE, compression)
    assert read_deb(path, "tool") == (State.STATED, "GPL-2+, MIT", "usr/share/doc/tool/copyright")


def test_a_copyright_file_for_people_is_pointed_to(tmp_path: Path) -> None:
    licence = read_deb(build_deb(tmp_path, "tool", "This is free.\nLicense: see above\n"), "tool")
    assert isinstance(licence, Licence)
    assert (licence.state, licence.text) == (State.INSIDE, "see usr/share/doc/tool/copyright inside the package")


def test_a_package_without_a_copyright_file_states_none(tmp_path: Path) -> None:
    licence = read_deb(build_deb(tmp_path, "tool", None), "tool")
    assert licence == (State.NOT_STATED, "not stated", "the package has no usr/share/doc/tool/copyright")


def test_a_package_may_have_the_documents_of_another(tmp_path: Path) -> None:
    assert read_deb(build_deb(tmp_path, "tool-dev", None, link="tool"), "tool-dev") == SharedDocuments("tool")


def test_without_zstd_a_zstd_package_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build_deb(tmp_path, "tool", MACHINE_READABLE, "zstd")
    monkeypatch.setenv("PATH", str(tmp_path))
    licence = read_deb(path, "tool")
    assert isinstance(licence, Licence)
    assert licence.state is State.UNREADABLE
    assert "packed with zstd" in licence.text
    assert "see usr/share/doc/tool/copyright inside the package" in licence.text


def test_what_is_no_package_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.deb"
    header = b"!<arch>\n" + b"debian-binary".ljust(48) + b"%s`\n" + b"2.0\n"
    for content in (b"", b"<html>", header % b"4".ljust(10), header % b"9999999999", header % b"-4".ljust(10)):
        path.write_bytes(content)
        licence = read_deb(path, "a")
        assert isinstance(licence, Licence)
        assert licence.state is State.UNREADABLE
    for place, text in ((tmp_path / "missing.deb", "No such file"), (tmp_path, "a folder")):
        licence = read_deb(place, "a")
        assert isinstance(licence, Licence)
        assert text in licence.text


@pytest.mark.parametrize("compression", ["xz", "zstd"])
def test_a_package_with_a_wrong_length_cannot_be_read(tmp_path: Path, compression: str) -> None:
    require(compression != "zstd" or shutil.which("zstd"), "zstd")
    path = build_deb(tmp_path, "tool", None, compression)
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    licence = read_deb(path, "tool")
    assert isinstance(licence, Licence)
    assert licence.state is State.UNREADABLE


def test_a_damaged_package_raises_nothing(tmp_path: Path) -> None:
    path = build_deb(tmp_path, "tool", MACHINE_READABLE, "none")
    whole, chance, states = path.read_bytes(), random.Random(1), set()
    for _ in range(300):
        damaged = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.2 else whole)
        for _ in range(min(len(damaged), 20)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        if isinstance(licence := read_deb(path, "tool"), Licence):
            states.add(licence.state)
    assert State.UNREADABLE in states
