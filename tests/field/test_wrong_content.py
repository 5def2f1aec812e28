"""Right checksum, wrong thing: what stands in the place of a file (a pointer of Git LFS or git-annex, a login page, an
error response, nothing, a part of it) is named as what it is, whatever its checksum.

It applies where a file is locked, synced, verified, loaded into the engine, given to the service as a model, taken from
a source tree, or lies in the wheelhouse of `./xaiva`.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.artifacts import source_snapshots, sync, verify
from core.artifacts.lock_store import LOCAL_WHEELS, artifacts_folder
from core.artifacts.lockfile import FileKind, LockedFile
from core.artifacts.network import Network
from core.artifacts.sources import LockContext, lock_models, lock_sources
from core.content import WrongContent, check_content, find_wrong_content
from core.content.placeholders import Placeholder, direct_url
from core.errors import InputError, XaivaError
from core.presets.model import Preset, Source
from core.progress import NullProgress
from core.site import Site
from tests.support.artifacts import QUICK, RecordingProgress, with_settings, write_lock_of
from tests.support.index import Index, serve
from tests.support.onnx_model import write_mean

NAME = "p"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345678\n" % (b"4d7a" * 16)
ANNEX = b"/annex/objects/SHA256E-s12345678--0123abcd.onnx\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in \xc2\xb7 Models</title></head><body>%s</body></html>"
DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)

# name, bytes → what the message says
WRONG: dict[str, tuple[str, bytes, str]] = {
    "lfs-onnx": ("yolo.onnx", LFS, "it is a Git LFS pointer, not the file itself (the real one has 12.3 MB)"),
    "lfs-with-crlf": ("yolo.pt", LFS.replace(b"\n", b"\r\n"), "Git LFS pointer"),
    "lfs-of-an-older-version": (
        "yolo.engine",
        LFS.replace(b"git-lfs.github.com/spec/v1", b"hawser.github.com/spec/v1"),
        "Git LFS pointer",
    ),
    "lfs-without-a-suffix": ("weights", LFS, "Git LFS pointer"),
    "lfs-of-a-json": ("labels.json", LFS, "Git LFS pointer"),
    "lfs-wheel": ("demo-1.0-py3-none-any.whl", LFS, "Git LFS pointer"),
    "lfs-deb": ("demo_1.0_amd64.deb", LFS, "Git LFS pointer"),
    "lfs-after-a-blank-line": ("yolo.engine", b"\n" + LFS, "Git LFS pointer"),
    "lfs-in-utf-16": ("yolo.engine", LFS.decode().encode("utf-16"), "Git LFS pointer"),
    "lfs-over-http": ("weights", LFS.replace(b"https", b"http"), "Git LFS pointer"),
    "lfs-in-gzip": ("labels.gz", gzip.compress(LFS), "Git LFS pointer"),
    "xet": ("weights", b"# xet version 0\nfilesize = 12345678\nhash = 'a'\n", "it is a Xet pointer"),
    "link-as-text": ("yolo.engine", b"../../weights/yolo.engine", "not a valid TensorRT engine: it looks like text"),
    "annex": ("yolo.onnx", ANNEX, "it is a git-annex pointer, not the file itself (the real one has 12.3 MB)"),
    "annex-link-as-text": ("yolo.onnx", b"../.git/annex/objects/x/y/SHA256E-s1--a/SHA256E-s1--a", "git-annex pointer"),
    "login-page": ("yolo.onnx", PAGE % b"", 'it is an HTML page, not the file ("Sign in · Models")'),
    "large-page": ("ffmpeg.tar.xz", PAGE % (b"x" * 300_000), "it is an HTML page"),
    "page-after-a-comment": ("yolo.gguf", b"\n<!-- x -->\n<HTML lang=en>", "it is an HTML page"),
    "page-as-xhtml": ("a.zip", b'<?xml version="1.0"?><!DOCTYPE html><html/>', "it is an HTML page"),
    "page-without-a-suffix": ("weights", b"\xef\xbb\xbf<!doctype HTML><p>", "it is an HTML page"),
    "page-in-utf-16": ("yolo.plan", (PAGE % b"").decode().encode("utf-16"), "it is an HTML page"),
    "page-in-gzip": ("weights", gzip.compress(PAGE % b""), "it is an HTML page"),
    "part-of-a-page": ("weights", b"<h1>Not Found</h1><p>The requested URL", "it is an HTML page"),
    "page-that-moves-on": ("weights", b'<meta http-equiv="refresh" content="0;url=/login">', "it is an HTML page"),
    "page-of-a-redirect": ("weights", b'<a href="https://example.org/login">Found</a>.\n\n', "it is an HTML page"),
    "dav-error": (
        "weights",
        b'<?xml version="1.0"?>\n<d:error xmlns:d="DAV:"><s:message>File not found</s:message></d:error>',
        "File not found",
    ),
    "listing-of-a-bucket": ("weights", b'<?xml version="1.0"?><ListBucketResult/>', "storage server (XML)"),
    "s3-error": ("yolo.onnx", DENIED, "it is an error response of a storage server (XML)"),
    "s3-error-says-why": ("weights.bin", DENIED, "AccessDenied: Access Denied"),
    "json-error": ("yolo.safetensors", b'{"error": "Repository not found"}', '("Repository not found")'),
    "json-error-as-json": ("labels.json", b'{"message": "Not Found", "status": "404"}', "error response (JSON)"),
    "json-error-of-an-api": ("weights.bin", b'{"detail":"Authentication required"}', "error response (JSON)"),
    "json-error-nested": ("a.tar.gz", b'{"errors":[{"status":404,"message":"no"}]}', "error response (JSON)"),
    "json-error-after-blanks": ("weights", b'\xef\xbb\xbf\n {"detail": "Not found."}', "error response (JSON)"),
    "json-error-of-a-portal": ("weights", b'{"code": 404, "msg": "no such file"}', "error response (JSON)"),
    "json-error-with-success": ("weights", b'{"success": false, "reason": "denied"}', '("denied")'),
    "json-error-in-a-list": ("weights", b'[{"error": "denied"}]', '("denied")'),
    "text-error-of-http": ("weights", b"HTTP/1.1 403 Forbidden\r\nServer: x\r\n\r\n", "it is an error response"),
    "text-error-of-a-registry": ("weights", b"error: unauthorized: authentication required", "it is an error response"),
    "text-error-of-a-login": ("weights", b"Invalid username or password.", "it is an error response"),
    "text-error-of-a-gate": (
        "weights",
        b"Access to model o/m is restricted. You must be authenticated to access it.",
        "it is an error response",
    ),
    "text-as-engine": ("yolo.engine", b"see the other folder\n", "not a valid TensorRT engine: it looks like text"),
    "text-as-bin": ("weights.bin", b"see the other folder\n", "not a valid binary file: it looks like text"),
    "zeros": ("yolo.engine", bytes(100_000), "it contains only zeros"),
    "blanks": ("weights", b"\n", "it contains only whitespace"),
    "text-error": ("weights.bin", b"404: Not Found", 'it is an error response, not the file ("404: Not Found")'),
    "text-error-of-a-hub": ("yolo.onnx", b"Entry not found", "it is an error response"),
    "empty": ("yolo.onnx", b"", "it is empty"),
    "empty-without-a-suffix": ("weights", b"", "it is empty"),
    "text-as-onnx": ("yolo.onnx", b"see the other folder\n", "not a valid ONNX model: it looks like text"),
    "zip-as-onnx": ("yolo.onnx", b"PK\x03\x04" + bytes(100), "not a valid ONNX model: it looks like a zip archive"),
    "gzip-as-tar": ("a.tar", gzip.compress(bytes(2048)), "it looks like a gzip file"),
    "json-as-safetensors": ("a.safetensors", b"[1, 2, 3, 4, 5]", "not a valid safetensors file"),
    "text-in-gzip": ("a.tar.gz", gzip.compress(b"x" * 600), "inside, it looks like text"),
    "no-json": ("a.json", b"{'a': 1}", "not a valid JSON document"),
    "text-as-7z": ("a.7z", b"see the other folder\n", "not a valid 7z archive"),
}


def archive(suffix: str = "") -> bytes:
    """A tar of some random bytes, compressed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for number in range(3):
            content = random.Random(number).randbytes(5000)
            entry = tarfile.TarInfo(f"a/{number}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    squeeze: dict[str, Callable[[bytes], bytes]] = {
        "": bytes,
        "gz": gzip.compress,
        "xz": lzma.compress,
        "bz2": bz2.compress,
    }
    return squeeze[suffix](out.getvalue())


def zipped(**files: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as into:
        for name, text in files.items():
            into.writestr(name.replace("__", "/"), text)
    return out.getvalue()


def wheel(name: str = "demo", version: str = "1.0") -> bytes:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return zipped(**{f"{name}-{version}.dist-info/METADATA": metadata, "demo.py": "x = 1\n" * 500})


def packed_unknown(content: bytes, what: str) -> bytes:
    """A zip archive with a compression method or version that no current library knows."""
    local, central = content.index(b"PK\3\4"), content.index(b"PK\1\2")
    out = bytearray(content)
    for at in (local + 8, central + 10) if what == "method" else (local + 4, central + 6):
        out[at : at + 2] = struct.pack("<H", 250)
    return bytes(out)


def deb() -> bytes:
    def member(name: str, content: bytes) -> bytes:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        return header + content + b"\n" * (len(content) % 2)

    parts = [("debian-binary", b"2.0\n"), ("control.tar.xz", archive("xz")), ("data.tar.xz", archive("xz"))]
    return b"!<arch>\n" + b"".join(member(*part) for part in parts)


def safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [100], "data_offsets": [0, 400]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(400)


def with_pointer(suffix: str) -> bytes:
    """An archive of a repository with pointers in place of its large files."""
    out = io.BytesIO()
    if suffix == "zip":
        with zipfile.ZipFile(out, "w") as into:
            into.writestr("src/yolo.onnx", LFS)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode=f"w:{suffix}") as tar:
        entry = tarfile.TarInfo("src/yolo.onnx")
        entry.size = len(LFS)
        tar.addfile(entry, io.BytesIO(LFS))
    return out.getvalue()


for name, suffix in (("a.tar", ""), ("a.tar.gz", "gz"), ("a.tar.xz", "xz"), ("a.zip", "zip")):
    WRONG[f"pointer-in-{name[2:]}"] = (name, with_pointer(suffix), "it contains src/yolo.onnx, and it is a Git LFS")


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_mean(tmp_path_factory.mktemp("onnx") / "m.onnx", ["n", 3, 8, 8], [1, 2, 3]).read_bytes()


GOOD: dict[str, tuple[str, bytes]] = {
    "safetensors": ("a.safetensors", safetensors()),
    "torch-zip": ("a.pt", zipped(archive__data_pkl="x" * 900)),
    "torch-pickle": ("a.pth", pickle.dumps({"w": [1.0] * 100}, protocol=2)),
    "wheel": ("demo-1.0-py3-none-any.whl", wheel()),
    "wheel-spelt-otherwise": ("Demo_Kit-1.0.0-py3-none-any.whl", wheel("demo-kit", "1.0")),
    "wheel-with-a-local-version": ("demo-1.0+cu126-cp310-cp310-linux_x86_64.whl", wheel("demo", "1.0+cu126")),
    "deb": ("demo_1.0_amd64.deb", deb()),
    "tar": ("a.tar", archive()),
    "tar.gz": ("a.tar.gz", archive("gz")),
    "tgz": ("a.tgz", archive("gz")),
    "tar.xz": ("a.tar.xz", archive("xz")),
    "tar.bz2": ("a.tar.bz2", archive("bz2")),
    "zip": ("a.zip", zipped(a="1" * 500)),
    "zip-of-an-unknown-method": ("a.zip", packed_unknown(zipped(a="1" * 500), "method")),
    "zip-of-a-newer-version": ("a.zip", packed_unknown(zipped(a="1" * 500), "version")),
    "wheel-of-an-unknown-method": ("demo-1.0-py3-none-any.whl", packed_unknown(wheel(), "method")),
    "gguf": ("a.gguf", b"GGUF\3\0\0\0" + bytes(100)),
    "tflite": ("a.tflite", b"\x1c\0\0\0TFL3" + bytes(100)),
    "engine": ("a.engine", random.Random(1).randbytes(500)),
    "unknown": ("weights.bin", random.Random(2).randbytes(500)),
    "no-suffix": ("weights", random.Random(3).randbytes(500)),
    "labels": ("labels.json", b'{"message": "a class of its own", "error": 3, "person": 0}'),
    "json-list": ("labels.json", b'["person", "car"]'),
    "openvino": ("model.xml", b'<?xml version="1.0"?><net name="a" version="11"></net>'),
    "page-that-is-wanted": ("manual.html", PAGE % b""),
    "text": ("LICENSE.txt", b"Not found in the wild, all the same a licence.\n"),
    "readme-about-lfs": ("README.md", b"A pointer begins with: version https://git-lfs.github.com/spec/v1\n"),
    "readme-that-begins-with-a-picture": ("README.md", b'<p align="center"><img src="a.png"></p>\n'),
    "picture": ("a.svg", b'<svg xmlns="http://www.w3.org/2000/svg"></svg>'),
    "page-that-is-wanted-in-gzip": ("manual.html.gz", gzip.compress(PAGE % b"")),
    "bin-with-a-line-of-text-first": ("words.bin", b"3000000 300\n" + b"word " * 20 + random.Random(4).randbytes(500)),
    "bin-that-begins-with-zeros": ("weights.bin", bytes(100_000) + random.Random(4).randbytes(500)),
    "pickle-as-text": ("a.pkl", pickle.dumps({"w": [1.0]}, protocol=0)),
    "about-itself": ("config", b'{"title": "a", "type": "b", "reason": "c", "classes": []}'),
    "config-without-suffix": ("config", b'{"classes": ["person"], "input": 640}'),
}
CUT = ("safetensors", "torch-zip", "wheel", "deb", "tar", "tar.gz", "tar.xz", "tar.bz2", "zip")


@pytest.mark.parametrize("case", WRONG)
def test_what_stands_in_the_place_of_a_file_is_named(case: str, tmp_path: Path) -> None:
    name, content, words = WRONG[case]
    path = tmp_path / name
    path.write_bytes(content)
    placeholder = find_wrong_content(path)
    assert placeholder is not None
    assert words in placeholder.description
    assert placeholder.remedy()


@pytest.mark.parametrize("case", GOOD)
def test_a_file_that_fits_or_is_not_known_is_taken(case: str, tmp_path: Path) -> None:
    name, content = GOOD[case]
    (tmp_path / name).write_bytes(content)
    assert find_wrong_content(tmp_path / name) is None


@pytest.mark.parametrize("case", CUT)
@pytest.mark.parametrize("part", [0.3, 0.97])
def test_a_part_of_a_file_is_named(case: str, part: float, tmp_path: Path) -> None:
    name, content = GOOD[case]
    (tmp_path / name).write_bytes(content[: int(len(content) * part)])
    placeholder = find_wrong_content(tmp_path / name)
    assert placeholder is not None


def test_an_onnx_model_fits_whole_and_not_in_part(onnx: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx)
    assert find_wrong_content(path) is None
    path.write_bytes(onnx[: len(onnx) // 2])
    placeholder = find_wrong_content(path)
    assert placeholder is not None
    assert "cut short" in placeholder.description


@pytest.mark.parametrize("name", ["other-1.0-py3-none-any.whl", "demo-2.0-py3-none-any.whl"])
def test_a_wheel_of_something_else_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(wheel())
    placeholder = find_wrong_content(tmp_path / name)
    assert placeholder is not None
    assert "it is the wheel of demo 1.0" in placeholder.description


REAL: dict[str, tuple[str, str]] = {
    "hub-raw": ("https://huggingface.co/o/m/raw/main/a.onnx", "https://huggingface.co/o/m/resolve/main/a.onnx"),
    "hub-page": ("https://huggingface.co/o/m/blob/main/d/a.onnx", "https://huggingface.co/o/m/resolve/main/d/a.onnx"),
    "github-raw": (
        "https://raw.githubusercontent.com/o/r/main/a.onnx",
        "https://media.githubusercontent.com/media/o/r/main/a.onnx",
    ),
    "github-page": (
        "https://github.com/o/r/blob/main/d/a.onnx",
        "https://media.githubusercontent.com/media/o/r/main/d/a.onnx",
    ),
    "gitlab-page": ("https://gitlab.com/g/s/r/-/blob/main/a.onnx", "https://gitlab.com/g/s/r/-/raw/main/a.onnx"),
    "elsewhere": ("https://example.org/raw/a.onnx", ""),
}


@pytest.mark.parametrize("case", REAL)
def test_the_remedy_names_the_address_of_the_file_itself(case: str) -> None:
    url, real = REAL[case]
    assert direct_url(url) == real
    assert (real or "git lfs pull") in Placeholder("it is a pointer", "git lfs pull").remedy(url)


# -- lock -------------------------------------------------------------------------------------------------------------

LOCKED = ("lfs-onnx", "annex", "login-page", "large-page", "s3-error", "json-error", "text-error", "empty")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    (tmp_path / "served").mkdir()
    with serve(tmp_path / "served") as running:
        yield running


def lock_context(site: Site) -> LockContext:
    return LockContext(site, NAME, artifacts_folder(site, NAME), Network(site), None, NullProgress())


def preset(**parts: object) -> Preset:
    return Preset.model_validate({"base_image": "debian:12", "python_version": "3.11", **parts})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def model(name: str, content: bytes, **origin: str) -> dict[str, str]:
    stem = name.partition(".")[0]
    return {"name": stem, "sha256": sha256(content), "destination": f"/models/{name}", **origin}


@pytest.mark.parametrize("case", LOCKED)
@pytest.mark.parametrize("origin", ["url", "url-without-size", "url-without-ranges", "file"])
def test_a_lock_names_it_though_the_checksum_is_that_of_the_preset(
    case: str, origin: str, site: Site, index: Index, onnx: bytes
) -> None:
    name, content, words = WRONG[case]
    index.tells_size, index.ranges = origin != "url-without-size", origin == "url"
    (index.folder / name).write_bytes(content)
    (index.folder / "good.onnx").write_bytes(onnx)
    at = {"file": str(index.folder / name)} if origin == "file" else {"url": index.file_url(name)}
    good = model("good.onnx", onnx, url=index.file_url("good.onnx"))
    parts = lock_models(lock_context(site), preset(models=[model(name, content, **at), good]))
    assert [file.name for file in parts.files] == ["good"]
    (unlocked,) = parts.unlocked
    assert words in unlocked.why
    if "pointer" in words:
        assert ("git lfs pull" in unlocked.remedy) is (case == "lfs-onnx")


@pytest.mark.parametrize("case", ["lfs-onnx", "large-page", "json-error-nested", "empty"])
@pytest.mark.parametrize("origin", ["url", "path"])
def test_a_source_that_is_something_else_is_named(case: str, origin: str, site: Site, index: Index) -> None:
    _, content, words = WRONG[case]
    (index.folder / "a.tar.gz").write_bytes(content)
    at = {"path": str(index.folder / "a.tar.gz")}
    if origin == "url":
        at = {"url": index.file_url("a.tar.gz"), "sha256": sha256(content)}
    parts = lock_sources(lock_context(site), preset(sources=[{"name": "tool", **at}]), standalone_python=False)
    assert not parts.files
    assert words in parts.unlocked[0].why


def test_a_real_checksum_beside_a_pointer_on_disk_names_the_pointer(site: Site, tmp_path: Path) -> None:
    (tmp_path / "yolo.onnx").write_bytes(LFS)
    there = model("yolo.onnx", b"the real one", file=str(tmp_path / "yolo.onnx"))
    (unlocked,) = lock_models(lock_context(site), preset(models=[there])).unlocked
    assert "Git LFS pointer" in unlocked.why
    assert "git lfs pull" in unlocked.remedy


def test_a_link_to_what_git_annex_has_not_brought_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "yolo.onnx").symlink_to(".git/annex/objects/x/SHA256E-s12345678--a.onnx/SHA256E-s12345678--a.onnx")
    there = model("yolo.onnx", b"the real one", file=str(tmp_path / "yolo.onnx"))
    (unlocked,) = lock_models(lock_context(site), preset(models=[there])).unlocked
    assert "git-annex pointer" in unlocked.why
    assert "git annex get" in unlocked.remedy


def test_a_source_tree_with_pointers_is_named(site: Site, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "models").mkdir(parents=True)
    (tree / "README.md").write_text("fine")
    (tree / "models" / "a.onnx").write_bytes(LFS)
    (tree / "models" / "b.onnx").write_bytes(LFS)
    parts = lock_sources(lock_context(site), preset(sources=[{"name": "xaiva-media", "path": str(tree)}]), False)
    assert "models/a.onnx: it is a Git LFS pointer" in parts.unlocked[0].why
    assert "1 more" in parts.unlocked[0].why
    (tree / "models" / "a.onnx").write_bytes(b"real")
    (tree / "models" / "b.onnx").write_bytes(b"real")
    source_snapshots.snapshot(tree, tmp_path / "t.tar", "xaiva-media", NullProgress())


def test_a_repository_with_pointers_is_named(site: Site, tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    (origin / "a.onnx").write_bytes(LFS)
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], [*who, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", "-C", str(origin), *words], check=True)
    source = Source.model_construct(name="tool", git=f"file://{origin}", ref="main")
    parts = lock_sources(lock_context(site), preset().model_copy(update={"sources": [source]}), False)
    assert "a.onnx: it is a Git LFS pointer" in parts.unlocked[0].why


def test_a_local_wheel_that_is_a_pointer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(LFS)
    with pytest.raises(WrongContent, match="Git LFS pointer") as caught:
        check_content(path, f"{LOCAL_WHEELS}/{path.name}")
    assert "git lfs pull" in caught.value.remedy


# -- sync and verify --------------------------------------------------------------------------------------------------

NO_WHEEL = ("demo-1.0-py3-none-any.whl", archive(), "not a valid wheel")
SERVED = {**{case: WRONG[case] for case in LOCKED}, "no-wheel": NO_WHEEL}


def locked(name: str, content: bytes, url: str) -> LockedFile:
    return LockedFile(
        path=f"models/{name}", size=len(content), sha256=sha256(content), kind=FileKind.MODEL, url=url, name=name
    )


def synced(site: Site) -> str:
    """The error of a sync, as text."""
    with pytest.raises(XaivaError) as caught:
        sync.run(with_settings(site, QUICK), NAME, {}, RecordingProgress())
    return str(caught.value)


@pytest.mark.parametrize("case", SERVED)
def test_a_sync_names_what_was_locked_in_the_place_of_the_file(case: str, site: Site, index: Index) -> None:
    name, content, words = SERVED[case]
    (index.folder / name).write_bytes(content)
    write_lock_of(site, NAME, [locked(name, content, index.file_url(name))])
    text = synced(site)
    assert words in text
    assert f"models/{name}" in text
    assert not (artifacts_folder(site, NAME) / "models" / name).exists()


# an empty answer without a size is a connection that broke
ANSWERS = [(case, how) for case in LOCKED for how in ("with-size", "in-chunks", "of-the-same-size") if case != "empty"]


@pytest.mark.parametrize(("case", "how"), [*ANSWERS, ("empty", "with-size")])
def test_a_sync_names_what_comes_in_the_place_of_the_locked_file(case: str, how: str, site: Site, index: Index) -> None:
    name, content, words = WRONG[case]
    index.tells_size = how != "in-chunks"
    (index.folder / name).write_bytes(content)
    real = random.Random(5).randbytes(len(content) if how == "of-the-same-size" else 400_000)
    write_lock_of(site, NAME, [locked(name, real, index.file_url(name))])
    assert words in synced(site)


@pytest.mark.parametrize("case", ["lfs-onnx", "login-page", "json-error"])
def test_what_lies_there_as_locked_is_named_all_the_same(case: str, site: Site, index: Index) -> None:
    name, content, words = WRONG[case]
    write_lock_of(site, NAME, [locked(name, content, index.file_url(name))])
    path = artifacts_folder(site, NAME) / "models" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (finding,) = [finding for finding in verify.verify(site, NAME) if finding.code == "artifact-not-the-file"]
    assert words in finding.why
    assert finding.remedy
    assert words in synced(site)


def test_verify_opens_what_lies_there(site: Site) -> None:
    half = GOOD["zip"][1][:300]
    write_lock_of(site, NAME, [locked("a.zip", half, "https://example.org/a.zip")])
    path = artifacts_folder(site, NAME) / "models" / "a.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(half)
    assert [finding.why for finding in verify.verify(site, NAME) if finding.code == "artifact-not-the-file"] == [
        "not a valid zip archive: it is cut short: its table of contents is missing"
    ]


def test_a_file_that_is_no_pointer_comes(site: Site, index: Index, onnx: bytes) -> None:
    (index.folder / "good.onnx").write_bytes(onnx)
    write_lock_of(site, NAME, [locked("good.onnx", onnx, index.file_url("good.onnx"))])
    sync.run(with_settings(site, QUICK), NAME, {}, RecordingProgress())
    assert (artifacts_folder(site, NAME) / "models" / "good.onnx").read_bytes() == onnx


# -- elsewhere --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["lfs-onnx", "login-page", "empty"])
def test_an_image_archive_that_is_none_is_not_sent_to_the_engine(case: str, site: Site) -> None:
    from core.images import load

    _, content, words = WRONG[case]
    (site.root / "image.tar").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load.run(site, NAME, {"file": "image.tar"}, NullProgress())
    assert words in str(caught.value)


@pytest.mark.parametrize("case", ["lfs-onnx", "login-page", "json-error", "empty"])
def test_the_service_names_a_model_that_is_none(case: str, tmp_path: Path) -> None:
    from core.inference.models.onnx_engine import OnnxEngine

    _, content, words = WRONG[case]
    (tmp_path / "yolo.onnx").write_bytes(content)
    with pytest.raises(XaivaError) as caught:
        OnnxEngine(tmp_path / "yolo.onnx").load()
    assert words in str(caught.value)


def test_the_launcher_names_a_wheelhouse_of_pointers(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[2]
    (tmp_path / "xaiva").write_bytes((checkout / "xaiva").read_bytes())
    (tmp_path / "xaiva").chmod(0o755)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "console.txt").write_text(f"demo==1.0 --hash=sha256:{'0' * 64}\n")
    (tmp_path / "wheelhouse").mkdir()
    (tmp_path / "wheelhouse" / "demo-1.0-py3-none-any.whl").write_bytes(LFS)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)  # pip refuses the wheel: nothing is installed
    process = subprocess.run(["./xaiva", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode
    assert "demo-1.0-py3-none-any.whl is a Git LFS pointer" in process.stdout + process.stderr
