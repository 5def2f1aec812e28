"""Media that were changed by accident or by somebody: refused, the file named, and nothing taken from them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.carry.shipment import INDEX, SHIPMENTS, Index, blob_path, read_document
from core.errors import InputError, XaivaError
from core.files import sha256_bytes
from core.site import Site
from tests.carry.conftest import Unpack
from tests.support.proofs import full
from tests.support.shipments import HandMade, tree, write

ALPHA = b"alpha" * 1000


def blob(medium: Path) -> Path:
    return medium / blob_path(sha256_bytes(ALPHA))


def folder(medium: Path) -> Path:
    return next((medium / SHIPMENTS).iterdir())


def flip(path: Path, position: int = 0) -> Path:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    return path


def replace_by_link(path: Path) -> Path:
    path.rename(path.with_name(path.name + "-aside"))
    path.symlink_to(path.name + "-aside")
    return path


def replace_by_pipe(path: Path) -> Path:
    path.unlink()
    os.mkfifo(path)
    return path


def delete(path: Path) -> Path:
    path.unlink()
    return path


def truncate(path: Path) -> Path:
    os.truncate(path, path.stat().st_size - 1)
    return path


def add(path: Path) -> Path:
    write(path, b"something")
    return path


def rename(path: Path) -> Path:
    path.rename(path.with_name("f" * 64))
    return path


# What is done to a medium → the file that the refusal has to name.
FAULTS: dict[str, Callable[[Path], Path]] = {
    "a bit of a blob": lambda medium: flip(blob(medium), 4321),
    "a bit of the index": lambda medium: flip(folder(medium) / INDEX, 100),
    "a bit of the launcher": lambda medium: flip(medium / "xaiva", 5),
    "a bit of START-HERE.txt": lambda medium: flip(medium / "START-HERE.txt"),
    "a bit of SHA256SUMS": lambda medium: flip(medium / "SHA256SUMS"),
    "a missing blob": lambda medium: delete(blob(medium)),
    "a missing index": lambda medium: delete(folder(medium) / INDEX),
    "a missing launcher": lambda medium: delete(medium / "xaiva"),
    "a short blob": lambda medium: truncate(blob(medium)),
    "a renamed blob": lambda medium: rename(blob(medium)),
    "an extra blob": lambda medium: add(medium / blob_path("e" * 64)),
    "an extra file among the blobs": lambda medium: add(medium / "blobs/sha256/ab/run.sh"),
    "an extra document": lambda medium: add(folder(medium) / "more.json"),
    "a blob in another folder": lambda medium: add(medium / "blobs/sha256/00" / ("e" * 64)),
    "a link for a blob": lambda medium: replace_by_link(blob(medium)),
    "a pipe for a blob": lambda medium: replace_by_pipe(blob(medium)),
    "a pipe for the index": lambda medium: replace_by_pipe(folder(medium) / INDEX),
    "a link for the launcher": lambda medium: replace_by_link(medium / "xaiva"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_changed_medium_is_refused_and_the_file_is_named(
    there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack, fault: str
) -> None:
    path = FAULTS[fault](shipment.write(medium))
    with pytest.raises(XaivaError) as caught:
        run_unpack()
    named = path.name if fault != "a bit of the index" else INDEX
    assert named in str(caught.value)
    assert tree(there.root) == {}


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig"])
def test_a_bit_of_the_signed_text_or_its_signature(
    there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack, name: str
) -> None:
    shipment.write(medium)
    flip(folder(medium) / name, 200)
    with pytest.raises(XaivaError, match=name):
        run_unpack()
    assert tree(there.root) == {}


def test_the_manifest_of_another_shipment(there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack) -> None:
    shipment.write(medium)
    folder(medium).rename(medium / SHIPMENTS / "20261105-120000-0a1b2c")
    with pytest.raises(XaivaError, match=shipment.shipment):
        run_unpack()
    assert tree(there.root) == {}


PATHS = [
    "../outside", "artifacts/../../outside", "/etc/outside", "artifacts", "artifacts/", "artifacts//x", "artifacts/./x",
    "artifacts/x/..", ".xaiva/ledger.sqlite", "site.toml", ".env", "artifacts/a\\b", "artifacts/a\0b", "artifacts/a\nb",
    "artifacts/\u202ecod.exe", "presets/" + "a" * 300, "presets/" + "a/" * 40 + "a", "presets\\x", "releases/x/a", "",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_signed_index_cannot_write_elsewhere(
    there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack, tmp_path: Path, path: str
) -> None:
    """Even the office's own signature does not let a file out of the site's folders."""
    entry = {"path": path, "kind": "artifact", "sha256": sha256_bytes(ALPHA)}
    shipment.index = {"files": [entry]}
    shipment.write(medium)
    before = {one for one in tmp_path.rglob("*") if "medium" not in one.parts}
    with pytest.raises(InputError, match=r"files\[0\]"):
        run_unpack()
    after = {one for one in tmp_path.rglob("*") if "medium" not in one.parts}
    assert {one.name for one in after - before} <= {".incoming", "carry", ".xaiva", "lock"}


INDEXES: dict[str, dict[str, Any]] = {
    "a content that is not listed": {"files": [{"path": "presets/a.json", "kind": "preset", "sha256": "e" * 64}]},
    "a content twice": {"contents": [{"sha256": "a" * 64, "size": 1}] * 2},
    "a negative size": {"contents": [{"sha256": "a" * 64, "size": -1}]},
    "an enormous size": {"contents": [{"sha256": "a" * 64, "size": 1 << 60}]},
    "a blob of 4 GiB": {"contents": [{"sha256": "a" * 64, "size": 1 << 32}]},
    "parts that do not add up": {
        "contents": [{"sha256": "a" * 64, "size": 5, "parts": [{"sha256": "b" * 64, "size": 4}]}]
    },
    "a hash that is a path": {"contents": [{"sha256": "../../../../etc/passwd", "size": 1}]},
    "an unknown key": {"run": "rm -rf /"},
    "one path twice": {
        "contents": [{"sha256": "a" * 64, "size": 1}],
        "files": [{"path": "presets/a.json", "kind": "preset", "sha256": "a" * 64}] * 2,
    },
    "a file that is also a folder": {
        "contents": [{"sha256": "a" * 64, "size": 1}],
        "files": [
            {"path": "presets/a", "kind": "preset", "sha256": "a" * 64},
            {"path": "presets/a/b", "kind": "preset", "sha256": "a" * 64},
        ],
    },
}


@pytest.mark.parametrize("name", INDEXES)
def test_a_signed_index_that_makes_no_sense(
    there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack, name: str
) -> None:
    shipment.index = INDEXES[name]
    shipment.write(medium)
    with pytest.raises(InputError, match=INDEX):
        run_unpack()
    assert tree(there.root) == {}


def test_an_index_with_a_deep_nesting_is_refused() -> None:
    with pytest.raises(InputError):
        read_document(Index, b"[" * 200_000, INDEX)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["a" * 64, "../x", "presets/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["contents", "files", "images", "at_site", "path", "sha256", "size", "parts", "x"]),
    JSON,
    max_size=4,
)
HOSTILE = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=1000, **HOSTILE)
@given(index=FIELDS, files=st.lists(st.text(max_size=30), max_size=3))
def test_a_thousand_indexes_are_refused_or_stay_inside(index: dict[str, Any], files: list[str]) -> None:
    """Whatever an index says: it is refused with a message, or all of its paths are below the site's folders."""
    contents = [{"sha256": "a" * 64, "size": 1}]
    entries = [{"path": path, "kind": "artifact", "sha256": "a" * 64} for path in files]
    text = json.dumps({"contents": contents, "files": entries, **index}).encode()
    try:
        parsed = read_document(Index, text, INDEX)
    except InputError:
        return
    for file in parsed.files:
        top = file.path.split("/")[0]
        assert top in ("presets", "artifacts", "docker")
        assert Path(os.path.normpath(Path("/site") / file.path)).is_relative_to(Path("/site") / top)


PARTS = st.sampled_from(
    [
        "..",
        ".",
        "",
        "presets",
        "artifacts",
        "docker",
        "outside",
        "~",
        "link",
        ".xaiva",
        "C:",
        "a",
        "\\..",
        "\u2024\u2024",
    ]
)
HOSTILE_PATHS = st.builds(
    lambda start, parts: start + "/".join(parts), st.sampled_from(["", "/", "//", "./"]), st.lists(PARTS, max_size=5)
)


@pytest.mark.proof("carry")
def test_a_thousand_signed_shipments_write_nothing_outside(
    office: Site, there: Site, medium: Path, run_unpack: Unpack, tmp_path: Path
) -> None:
    """Signed by a key that the site trusts, with paths that lead out of it, also through a link that stands there."""
    (tmp_path / "outside").mkdir()
    (there.presets / "link").symlink_to(tmp_path / "outside")
    before = _outside(tmp_path)
    number = itertools.count()

    @settings(max_examples=1000 if full("carry") else 50, database=None, **HOSTILE)
    @given(st.lists(HOSTILE_PATHS, min_size=1, max_size=3, unique=True))
    def unpack(paths: list[str]) -> None:
        shutil.rmtree(medium)
        created = f"2026-11-01T{next(number) // 3600:02}:{next(number) // 60 % 60:02}:{next(number) % 60:02}Z"
        shipment = HandMade(office, {}, created=created)
        entries = [{"path": path, "kind": "artifact", "sha256": sha256_bytes(ALPHA)} for path in paths]
        shipment.index = {"contents": [{"sha256": sha256_bytes(ALPHA), "size": len(ALPHA)}], "files": entries}
        shipment.extra_blobs = [ALPHA]
        shipment.write(medium)
        with contextlib.suppress(XaivaError):
            run_unpack(allow_older=True)
        assert _outside(tmp_path) == before
        assert {path.name for path in there.root.iterdir()} <= {"presets", "artifacts", "docker", ".xaiva"}

    unpack()


def _outside(folder: Path) -> set[str]:
    """Everything that is there besides the site's own folders and the medium."""
    own = {"medium", "there"}
    return {f"{path.relative_to(folder)}" for path in folder.rglob("*") if path.relative_to(folder).parts[0] not in own}
