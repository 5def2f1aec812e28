"""The error for a file that is not an image archive says what the file is, with a remedy that works for it.

It applies to `xaiva load --file`: exports of containers, build contexts, parts of an archive, other programs' archives.
"""

from __future__ import annotations

import gzip
import re
import tarfile
from pathlib import Path

import pytest

from core.errors import InputError
from core.images.image_archive import check_image_archive
from core.site import Site
from tests.support.command_line import xaiva
from tests.support.engine import BASE_IMAGE, TestEngine

OTHER_FILES: dict[str, tuple[str, bytes, str]] = {  # file, content → words of the remedy
    "zip": ("image.zip", b"PK\3\4" + bytes(600), "docker save IMAGE"),
    "text": ("Dockerfile", b"FROM debian\n", "docker save IMAGE"),
    "disk": ("box.qcow2", b"QFI\xfb" + bytes(600), "docker save IMAGE"),
    "compressed-text": ("notes.gz", gzip.compress(b"hello"), "docker save IMAGE"),
    "version": ("image-1.12", b"\1" * 600, "docker save IMAGE"),
    "cut": ("image.tar.gz", gzip.compress(bytes(9999))[:-9], "get the file again"),
    "empty": ("image.tar", b"", "get the file again"),
    "part": ("image.tar.ab", b"\1" * 600, "cat {root}/image.tar.* > image.tar"),
    "first-part": ("image.tar.gz.00", gzip.compress(bytes(9999))[:-9], "cat {root}/image.tar.gz.* > image.tar"),
    "part-without-prefix": ("xab", b"\1" * 600, "cat {root}/x* > image.tar"),
    "part-of-name": ("image.part-1", b"\1" * 600, "cat {root}/image.part-* > image.tar"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHER_FILES)
def test_a_file_is_got_again_only_where_it_came_in_part(case: str, tmp_path: Path) -> None:
    name, content, remedy = OTHER_FILES[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        check_image_archive(tmp_path / name)
    assert remedy.format(root=tmp_path) in caught.value.remedy
    assert ("file again" in caught.value.remedy) is (remedy == "get the file again")


SYSTEM = ("bin/", "dev/", "etc/", "etc/hosts", "usr/")
ARCHIVES: dict[str, tuple[str, tuple[str, ...], str, str]] = {  # file, entries → words of the cause, of the remedy
    "export": ("web.tar", (".dockerenv", *SYSTEM), "`docker export` writes it", "docker import"),
    "export-compressed": ("web.tar.gz", SYSTEM, "`docker export` writes it", "docker save IMAGE"),
    "export-with-dots": ("web.tar", tuple(f"./{name}" for name in SYSTEM), "`docker export` writes it", "docker save"),
    "export-without-suffix": ("web", SYSTEM, "`docker export` writes it", "docker save"),
    "export-of-one-binary": ("web.tar", (".dockerenv", "app"), "`docker export` writes it", "docker import"),
    "build-context": ("ctx.tar", ("Dockerfile", "app.py"), "a build context with a Dockerfile", "build it"),
    "in-a-folder": ("i.tar", ("image/", "image/manifest.json"), "in its folder image", "tar -C image"),
    "archive-in-archive": ("i.tar", ("README", "img.tar"), "an archive that contains img.tar", "load img.tar"),
    "anything": ("i.tar", ("a.txt", "b.txt"), "it contains a.txt, b.txt", "docker save"),
    "nothing": ("i.tar", (), "it contains nothing", "docker save"),
}  # fmt: skip


def archive(path: Path, names: tuple[str, ...]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name in names:
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(entry)
    return path


@pytest.mark.parametrize("case", ARCHIVES)
def test_what_is_given_in_the_place_of_an_image_is_named(case: str, tmp_path: Path) -> None:
    name, entries, words, remedy = ARCHIVES[case]
    with pytest.raises(InputError) as caught:
        check_image_archive(archive(tmp_path / name, entries))
    assert words in caught.value.why
    assert remedy in caught.value.remedy


IMAGES = {
    "save": ("blobs/", "blobs/sha256/", "index.json", "manifest.json", "oci-layout"),
    "save-of-an-old-engine": (f"{'a' * 64}/", f"{'a' * 64}/layer.tar", "manifest.json", "repositories"),
    "podman": (f"{'a' * 64}.tar", f"{'b' * 64}.json", "manifest.json"),
    "oci": ("blobs/", "blobs/sha256/", "index.json", "oci-layout"),
    "with-dots": ("./", "./manifest.json"),
}


@pytest.mark.parametrize("name", ["image.tar", "image.tar.gz", "image"])
@pytest.mark.parametrize("case", IMAGES)
def test_an_image_passes(case: str, name: str, tmp_path: Path) -> None:
    check_image_archive(archive(tmp_path / name, IMAGES[case]))


def test_a_compressed_image_passes_whatever_its_name_says(tmp_path: Path) -> None:
    archive(tmp_path / "image.tar.gz", IMAGES["save"]).rename(tmp_path / "image.tar")
    check_image_archive(tmp_path / "image.tar")
    (tmp_path / "image.tar").write_bytes((tmp_path / "image.tar").read_bytes()[:-20])
    with pytest.raises(InputError, match="cut short"):
        check_image_archive(tmp_path / "image.tar")


def test_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a folder"):
        check_image_archive(tmp_path)


@pytest.mark.engine
def test_a_real_export_is_named_and_the_remedy_makes_an_image(engine_site: Site, engine: TestEngine) -> None:
    site, file = engine_site, engine_site.root / "web.tar"
    engine.docker("create", "--name", "exported", BASE_IMAGE, "true")
    engine.docker("export", "-o", str(file), "exported")
    done = xaiva(site, "load", "walked", "--file", str(file))
    assert "it is the root file system of a container" in done.stderr
    (imported,) = re.findall(r"docker (import \S+) NAME:TAG", done.stderr)
    engine.docker(*imported.split(), "imported:1")
    engine.docker("save", "-o", str(file), "imported:1")  # the other way of the remedy
    engine.docker("rm", "exported")
    assert xaiva(site, "load", "walked", "--file", str(file)).returncode == 0
    unpack_without_manifest(file, site.root / "oci.tar")
    oci = xaiva(site, "load", "walked", "--file", str(site.root / "oci.tar"))
    assert oci.returncode == 0 or "an OCI layout without a manifest.json" in oci.stderr, oci


def unpack_without_manifest(saved: Path, file: Path) -> None:
    """The same image as an OCI layout alone."""
    with tarfile.open(saved) as source, tarfile.open(file, "w") as target:
        for entry in source:
            if entry.name not in ("manifest.json", "repositories"):
                target.addfile(entry, source.extractfile(entry) if entry.isreg() else None)
