"""Right checksum, wrong thing: what stands in the place of a file (a pointer of Git LFS or git-annex, a login page, an
error response, nothing, a part of it) is named as what it is, whatever its checksum.

It applies where a file is locked, synced, verified, loaded into the engine, given to the service as a model, taken from
a source tree, or lies in the wheelhouse of `./xaiva`.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
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
from tests.support.wrong_content import GOOD, LFS, WRONG, archive, wheel

NAME = "p"


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_mean(tmp_path_factory.mktemp("onnx") / "m.onnx", ["n", 3, 8, 8], [1, 2, 3]).read_bytes()


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
        "it is not a valid zip archive: it is cut short: its table of contents is missing"
    ]


def test_a_file_that_is_not_a_pointer_is_fetched(site: Site, index: Index, onnx: bytes) -> None:
    (index.folder / "good.onnx").write_bytes(onnx)
    write_lock_of(site, NAME, [locked("good.onnx", onnx, index.file_url("good.onnx"))])
    sync.run(with_settings(site, QUICK), NAME, {}, RecordingProgress())
    assert (artifacts_folder(site, NAME) / "models" / "good.onnx").read_bytes() == onnx


# -- elsewhere --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["lfs-onnx", "login-page", "empty"])
def test_a_damaged_image_archive_is_not_sent_to_the_engine(case: str, site: Site) -> None:
    from core.images import load

    _, content, words = WRONG[case]
    (site.root / "image.tar").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load.run(site, NAME, {"file": "image.tar"}, NullProgress())
    assert words in str(caught.value)


@pytest.mark.parametrize("case", ["lfs-onnx", "login-page", "json-error", "empty"])
def test_the_service_names_a_damaged_model(case: str, tmp_path: Path) -> None:
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
    shutil.copy(checkout / "requirements/pip_progress.py", tmp_path / "requirements")
    (tmp_path / "requirements" / "console.txt").write_text(f"demo==1.0 --hash=sha256:{'0' * 64}\n")
    (tmp_path / "wheelhouse").mkdir()
    (tmp_path / "wheelhouse" / "demo-1.0-py3-none-any.whl").write_bytes(LFS)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)  # pip refuses the wheel: nothing is installed
    process = subprocess.run(["./xaiva", "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode
    assert "demo-1.0-py3-none-any.whl is a Git LFS pointer" in process.stdout + process.stderr
