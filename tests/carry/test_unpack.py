"""Unpack: whole or not at all, resumable, and nothing twice."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.artifacts.verification_cache import VerificationCache
from core.carry.incoming import Incoming, finish_move
from core.carry.shipment import blob_path
from core.errors import Cancelled, InputError, XaivaError
from core.files import sha256_bytes
from core.site import Site
from tests.carry.conftest import Unpack
from tests.support.artifacts import RecordingProgress
from tests.support.shipments import NAME, HandMade, small_files, tree

WHEEL = f"artifacts/{NAME}/layers/common/wheels/alpha-1.0-py3-none-any.whl"


def test_everything_arrives_and_a_second_run_changes_nothing(
    there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack
) -> None:
    shipment.write(medium)
    progress = RecordingProgress()
    first = run_unpack(progress=progress)
    assert tree(there.root) == shipment.files
    assert (first["files"], first["new"], first["changed"]) == (len(shipment.files), len(shipment.files), [])
    assert {line for line in progress.lines if line.endswith(": new")} == {f"{path}: new" for path in shipment.files}

    before = {path: os.stat(path).st_ino for path in there.root.rglob("*.whl")}
    progress = RecordingProgress()
    again = run_unpack(progress=progress)
    assert (again["new"], again["changed"], again["bytes"]) == (0, [], 0)
    assert {path: os.stat(path).st_ino for path in there.root.rglob("*.whl")} == before
    assert all(line.endswith(": already here") for line in progress.lines)


def test_what_arrived_counts_as_verified(there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack) -> None:
    shipment.write(medium)
    run_unpack()
    path = there.root / WHEEL
    name = WHEEL.removeprefix(f"artifacts/{NAME}/")
    assert VerificationCache(there, NAME).is_verified(name, path.lstat(), sha256_bytes(path.read_bytes()))


def test_a_newer_shipment_brings_the_difference_and_takes_old_wheels_away(
    office: Site, there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack
) -> None:
    shipment.write(medium)
    run_unpack()
    newer = HandMade(office, small_files(alpha=b"alpha" * 1000, gamma=b"gamma" * 10), "20261102-120000-0a1b2c")
    newer.created = "2026-11-02T12:00:00Z"
    newer.write(medium)
    progress = RecordingProgress()
    result = run_unpack(progress=progress)
    assert tree(there.root) == newer.files
    assert result["bytes"] < 3000  # type: ignore[operator]
    beta = blob_path(sha256_bytes(b"beta" * 2000))
    assert f"{beta}: ignored, it belongs to shipment {shipment.shipment}" in progress.lines


def test_a_preset_that_was_edited_here_is_kept_aside(
    there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack
) -> None:
    shipment.write(medium)
    preset = there.presets / f"{NAME}.json"
    preset.write_text("edited at the site")
    assert run_unpack()["changed"] == [f"presets/{NAME}.json"]
    assert preset.read_bytes() == shipment.files[f"presets/{NAME}.json"]
    aside = there.state / "replaced" / shipment.shipment / f"presets/{NAME}.json"
    assert aside.read_text() == "edited at the site"


def test_a_file_that_another_preset_has_is_linked(
    there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack
) -> None:
    shipment.write(medium)
    run_unpack()
    other = there.artifacts / "other"
    (there.artifacts / NAME).rename(other)
    (medium / blob_path(sha256_bytes(b"alpha" * 1000))).write_bytes(b"x" * 5000)  # it must not be read
    run_unpack()
    assert (there.root / WHEEL).samefile(other / WHEEL.removeprefix(f"artifacts/{NAME}/"))


@pytest.mark.parametrize("place", ["artifacts", f"artifacts/{NAME}/layers", WHEEL])
def test_what_is_in_the_way_is_named(
    there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack, tmp_path: Path, place: str
) -> None:
    """A link inside the site must not lead a file out of it."""
    shipment.write(medium)
    path = there.root / place
    if place == "artifacts":
        path.rmdir()
        path.write_text("a file")
    else:
        (tmp_path / "elsewhere").mkdir()
        path.parent.mkdir(parents=True)
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(XaivaError) as caught:
        run_unpack()
    assert str(path) in caught.value.what
    assert not any((tmp_path / "elsewhere").iterdir() if place != "artifacts" else [])


def test_a_damaged_blob_is_named_and_the_site_stays_as_it_was(
    there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack
) -> None:
    shipment.write(medium)
    for data in set(shipment.files.values()):
        blob = medium / blob_path(sha256_bytes(data))
        blob.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        with pytest.raises(XaivaError) as caught:
            run_unpack()
        assert str(blob) in caught.value.what
        assert tree(there.root) == {}
        Incoming(there).remove()  # else what was copied already would not be read again
        blob.write_bytes(data)


def test_a_cancelled_unpack_goes_on_where_it_was(
    there: Site, office: Site, medium: Path, run_unpack: Unpack, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment = HandMade(office, small_files(**{f"w{number}": bytes([number]) * 100_000 for number in range(8)}))
    shipment.write(medium)
    progress = RecordingProgress()
    progress.stop_at = 300_000
    monkeypatch.setattr("core.progress.REPORT_SECONDS", -1.0)
    with pytest.raises(Cancelled):
        run_unpack(progress=progress)
    assert tree(there.root) == {}
    for data in list(shipment.files.values())[:2]:  # copied before: they are not read again
        (medium / blob_path(sha256_bytes(data))).write_bytes(b"?" * len(data))
    run_unpack()
    assert tree(there.root) == shipment.files


def test_a_part_of_a_long_file_is_not_copied_again(there: Site, office: Site, medium: Path, run_unpack: Unpack) -> None:
    """A file in three parts, of which the site has the first."""
    data = bytes(range(256)) * 300
    parts = [data[:30_000], data[30_000:60_000], data[60_000:]]
    shipment = HandMade(office, small_files(long=data))
    contents = [{"sha256": sha256_bytes(one), "size": len(one)} for one in set(shipment.files.values()) - {data}]
    blobs = [{"sha256": sha256_bytes(part), "size": len(part)} for part in parts]
    contents.append({"sha256": sha256_bytes(data), "size": len(data), "parts": blobs})
    shipment.index = {"contents": sorted(contents, key=lambda content: str(content["sha256"]))}
    shipment.extra_blobs = parts
    shipment.left_out = [data]
    shipment.write(medium)
    waiting = there.artifacts / ".incoming"
    waiting.mkdir()
    (waiting / f"{sha256_bytes(data)}.part").write_bytes(parts[0] + b"half a part")
    (medium / blob_path(sha256_bytes(parts[0]))).write_bytes(b"?" * 30_000)
    run_unpack()
    assert tree(there.root) == shipment.files


def test_an_older_shipment_needs_to_be_asked_for(
    there: Site, office: Site, medium: Path, shipment: HandMade, run_unpack: Unpack, tmp_path: Path
) -> None:
    newer = HandMade(office, small_files(gamma=b"g"), "20261102-120000-0a1b2c", created="2026-11-02T12:00:00Z")
    newer.write(medium)
    run_unpack()
    for path in sorted(medium.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    shipment.write(medium)
    with pytest.raises(XaivaError) as caught:
        run_unpack()
    assert newer.shipment in str(caught.value)
    assert tree(there.root) == newer.files
    run_unpack(allow_older=True)
    assert tree(there.root) == shipment.files


def test_artifacts_without_a_lock_are_taken_as_they_are(
    office: Site, there: Site, medium: Path, run_unpack: Unpack
) -> None:
    HandMade(office, {"artifacts/other/notes.txt": b"notes"}).write(medium)
    assert run_unpack()["new"] == 1
    assert tree(there.root) == {"artifacts/other/notes.txt": b"notes"}


def test_no_shipment_is_said(medium: Path, run_unpack: Unpack) -> None:
    with pytest.raises(InputError, match="shipments"):
        run_unpack()


def test_a_disk_that_is_too_small_is_said_with_numbers(
    medium: Path, shipment: HandMade, run_unpack: Unpack, monkeypatch: pytest.MonkeyPatch, there: Site
) -> None:
    shipment.write(medium)
    monkeypatch.setattr("core.disk_space.FREE_SPACE_MARGIN", 1 << 60)
    with pytest.raises(XaivaError, match="MB are needed"):
        run_unpack()
    assert tree(there.root) == {}


KILLED_AT = """
import itertools, os, signal, sys
from core.carry import incoming
from core.site import Site
count = itertools.count()
real = os.replace
def replace(*arguments, **more):
    if next(count) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **more)
os.replace = replace
from core.carry import unpack
from core.progress import NullProgress
unpack.run(Site.open(sys.argv[1]), sys.argv[3], {}, NullProgress())
"""


def test_killed_at_every_rename_it_finishes_or_leaves_the_site_as_it_was(
    office: Site, there: Site, medium: Path, shipment: HandMade, run_unpack: Unpack
) -> None:
    shipment.write(medium)
    run_unpack()
    newer = HandMade(office, small_files(alpha=b"new alpha"), "20261102-120000-0a1b2c", created="2026-11-02T12:00:00Z")
    newer.write(medium)
    for number in itertools.count():
        before = tree(there.root)
        command = [sys.executable, "-c", KILLED_AT, str(there.root), str(number), str(medium)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        finish_move(there)
        assert tree(there.root) in (before, {**before, **newer.files}, newer.files)
        assert len(list(Incoming(there).folder.glob("*.part"))) <= 1
    assert number >= 3
    assert tree(there.root) == newer.files
