"""What a site's security desk gets with a shipment: a bill of materials and a list of licences."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from core.artifacts.lock_store import artifacts_folder, write_lock
from core.artifacts.lockfile import FileKind, Lock, LockedFile
from core.carry.bill_of_materials import LICENCES, SBOM, documents
from core.carry.licence_cache import cache_path
from core.errors import XaivaError
from core.files import sha256_bytes
from core.site import Site
from tests.support.artifacts import locked, wheel_file, write_lock_of
from tests.support.debs import MACHINE_READABLE, build_deb


@dataclass(frozen=True)
class FileOfConsole:
    path: str
    sha256: str
    open: Callable[[], BinaryIO]


def of_console(path: str, content: bytes) -> FileOfConsole:
    return FileOfConsole(path, sha256_bytes(content), lambda: io.BytesIO(content))


def code_tar(project: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("pyproject.toml")
        entry.size = len(project.encode())
        archive.addfile(entry, io.BytesIO(project.encode()))
    return buffer.getvalue()


def add(site: Site, preset: str, source: Path, kind: FileKind, under: str, **more: str) -> LockedFile:
    """Put a file into the artifacts of a preset, and describe it for its lock."""
    file = locked(source, "https://user:secret@files.example.net/x", kind, under, **more)
    target = file.under(artifacts_folder(site, preset))
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    return file


def sbom_of(site: Site, presets: list[str], console: list[FileOfConsole]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(documents(site, presets, console)[SBOM])
    return document


def rows_of(text: bytes, name: str) -> list[str]:
    return [line for line in text.decode().splitlines() if line.startswith(f"{name} ")]


@pytest.fixture
def shipment(site: Site, tmp_path: Path) -> list[FileOfConsole]:
    """Two presets, `p` and `q`, that share a wheel; and a console that has the same wheel, too."""
    common = tmp_path / "common-1.0-py3-none-any.whl"
    wheel_file(common, "common", "1.0", more="License: MIT\n")
    other = tmp_path / "other-1.0-py3-none-any.whl"
    wheel_file(other, "other", "1.0")
    model = tmp_path / "face.onnx"
    model.write_bytes(b"weights")
    tool, dev = build_deb(tmp_path, "tool", MACHINE_READABLE), build_deb(tmp_path, "dev", None, link="tool")
    deb = partial(add, site, kind=FileKind.DEB, under="debs")
    files = [
        add(site, "p", common, FileKind.WHEEL, "layers/a/wheels"),
        add(site, "p", common, FileKind.WHEEL, "layers/b/wheels"),
        add(site, "p", model, FileKind.MODEL, "models"),
        deb("p", tool).model_copy(update={"name": "tool"}),
        deb("p", dev).model_copy(update={"name": "dev"}),
    ]
    write_lock_of(site, "p", files)
    write_lock_of(site, "q", [add(site, "q", path, FileKind.WHEEL, "layers/c/wheels") for path in (common, other)])
    code = code_tar('[project]\nname = "xaiva-console"\nversion = "9.8.7"\nlicense = "Apache-2.0"\n')
    return [
        of_console("console.tar", code),
        of_console("python.tar", b"an archive"),
        of_console(f"wheelhouse/{common.name}", common.read_bytes()),
        of_console("wheelhouse/broken-2.0-py3-none-any.whl", b"no zip"),
    ]


def test_the_bill_has_each_component_once_with_its_presets(site: Site, shipment: list[FileOfConsole]) -> None:
    document = sbom_of(site, ["q", "p"], shipment)
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.5", 1)
    assert document["serialNumber"].startswith("urn:uuid:")
    parts = {(part["name"], part["type"]): part for part in document["components"]}
    names = {"common", "other", "face.onnx", "tool", "dev", "xaiva", "python.tar", "broken", "debian:test"}
    assert {name for name, _ in parts} == names
    assert len(document["components"]) == len(names)
    common = parts["common", "library"]
    assert [(entry["name"], entry["value"]) for entry in common["properties"]] == [
        ("xaiva:console", "true"),
        ("xaiva:preset", "p"),
        ("xaiva:preset", "q"),
    ]
    assert common["purl"] == "pkg:pypi/common@1.0"
    assert common["hashes"] == [{"alg": "SHA-256", "content": shipment[2].sha256}]
    assert (parts["xaiva", "application"]["version"], parts["broken", "library"]["version"]) == ("9.8.7", "2.0")


def test_the_bill_has_what_its_readers_require(site: Site, shipment: list[FileOfConsole]) -> None:
    document = sbom_of(site, ["p", "q"], shipment)
    parts = document["components"]
    for part in parts:
        assert part["type"] in ("library", "container", "application", "platform", "machine-learning-model")
        assert part["name"]
        assert all(value for value in part.values())
    references = [part["bom-ref"] for part in parts]
    assert len(set(references)) == len(references)
    opaque = {part["bom-ref"] for part in parts if part["name"] in ("debian:test", "python.tar")}
    (composition,) = document["compositions"]
    assert (composition["aggregate"], set(composition["assemblies"])) == ("unknown", opaque)
    assert document["metadata"]["component"]["type"] == "application"


def test_the_same_shipment_gives_the_same_bytes(site: Site, shipment: list[FileOfConsole]) -> None:
    first = documents(site, ["p", "q"], shipment)
    assert documents(site, ["q", "p", "q"], list(reversed(shipment))) == first
    less = documents(site, ["p", "q"], shipment[1:])
    assert json.loads(less[SBOM])["serialNumber"] != json.loads(first[SBOM])["serialNumber"]


def test_the_list_names_every_licence_and_counts_what_has_none(site: Site, shipment: list[FileOfConsole]) -> None:
    text = documents(site, ["p", "q"], shipment)[LICENCES]
    lines = text.decode().splitlines()
    # Not stated: other, face.onnx, python.tar. Cannot be read: broken, and the base image, whose blobs are not here.
    assert "5 of 10 components state no licence that could be read." in lines
    assert next(line.split() for line in lines if line.startswith("all ")) == ["all", "10", "5", "0", "3", "2"]
    for name, licence, where in (
        ("common", "MIT", "METADATA, License"),
        ("other", "not stated", "METADATA"),
        ("face.onnx", "not stated", "a lock has no licences; it comes from files.example.net"),
        ("tool", "GPL-2+, MIT", "usr/share/doc/tool/copyright"),
        ("dev", "GPL-2+, MIT", "usr/share/doc/tool/copyright"),
        ("xaiva", "Apache-2.0", "pyproject.toml in console.tar"),
        ("broken", "cannot be read: ", "METADATA"),
        ("debian:test", "cannot be read: ", "label org.opencontainers.image.licenses"),
    ):
        for row in rows_of(text, name):
            assert f"  {licence}" in row
            assert row.endswith(where)
    assert [len(rows_of(text, name)) for name in ("common", "other", "tool", "dev")] == [2, 1, 1, 1]
    assert b"secret" not in text


def test_those_without_a_licence_come_first(site: Site, shipment: list[FileOfConsole]) -> None:
    text = documents(site, ["q"], [])[LICENCES].decode()
    assert text.index("\nother ") < text.index("\ncommon ")


def test_a_base_image_may_name_its_licences(site: Site) -> None:
    config = json.dumps({"config": {"Labels": {"org.opencontainers.image.licenses": "MIT AND GPL-2.0-only"}}}).encode()
    lock = write_lock_of(site, "p", [])
    _with_base(site, lock, config)
    (row,) = rows_of(documents(site, ["p"], [])[LICENCES], "debian:test")
    assert "MIT AND GPL-2.0-only" in row
    _with_base(site, lock, b'{"config": {"Labels": null}}')
    (row,) = rows_of(documents(site, ["p"], [])[LICENCES], "debian:test")
    assert "see /usr/share/doc inside" in row
    for damaged in (b"[]", b"{", b'{"config": 1}', b"[" * 100_000):
        _with_base(site, lock, damaged)
        (row,) = rows_of(documents(site, ["p"], [])[LICENCES], "debian:test")
        assert "cannot be read" in row


def _with_base(site: Site, lock: Lock, config: bytes) -> None:
    digest = sha256_bytes(config)
    blob = artifacts_folder(site, "p") / "images/debian/blobs/sha256" / digest
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(config)
    image = lock.base_image.model_copy(update={"config_digest": f"sha256:{digest}", "folder": "images/debian"})
    write_lock(site, "p", lock.model_copy(update={"base_image": image}))


def test_packages_are_unpacked_once(site: Site, shipment: list[FileOfConsole]) -> None:
    first = documents(site, ["p"], shipment)
    for deb in artifacts_folder(site, "p").glob("debs/*.deb"):
        deb.unlink()
    assert documents(site, ["p"], shipment) == first
    cache_path(site).write_text('{"format": 1, "packages": [')
    text = documents(site, ["p"], shipment)[LICENCES]
    assert "cannot be read: No such file or directory" in rows_of(text, "tool")[0]


def test_what_could_not_be_read_is_read_again(site: Site, tmp_path: Path) -> None:
    tool = build_deb(tmp_path, "tool", MACHINE_READABLE)
    file = add(site, "p", tool, FileKind.DEB, "debs").model_copy(update={"name": "tool"})
    write_lock_of(site, "p", [file])
    path = file.under(artifacts_folder(site, "p"))
    path.unlink()
    assert "cannot be read" in rows_of(documents(site, ["p"], [])[LICENCES], "tool")[0]
    shutil.copy(tool, path)
    assert "GPL-2+" in rows_of(documents(site, ["p"], [])[LICENCES], "tool")[0]


def test_documents_that_link_to_a_package_that_is_not_carried_say_which(site: Site, tmp_path: Path) -> None:
    names = {"a": "b", "b": "a", "c": "elsewhere"}
    files = [
        add(site, "p", build_deb(tmp_path, name, None, link=link), FileKind.DEB, "debs").model_copy(
            update={"name": name}
        )
        for name, link in names.items()
    ]
    write_lock_of(site, "p", files)
    text = documents(site, ["p"], [])[LICENCES]
    (row,) = rows_of(text, "c")
    assert "see usr/share/doc/elsewhere/copyright in the package elsewhere" in row
    assert "see usr/share/doc/" in rows_of(text, "a")[0]


def test_a_preset_without_a_lock_is_an_error(site: Site) -> None:
    with pytest.raises(XaivaError, match="has no lock"):
        documents(site, ["p"], [])


def test_code_that_cannot_be_read_is_listed_as_that(site: Site) -> None:
    for content in (b"no tar", code_tar("version ="), code_tar("[project]\n"), code_tar("project = 1\n")):
        text = documents(site, [], [of_console("console.tar", content)])[LICENCES]
        assert "cannot be read" in rows_of(text, "xaiva")[0]
