"""Sync against a loopback index that misbehaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.artifacts import sync, verify
from core.artifacts.lock_store import artifacts_folder, read_lock, write_lock
from core.artifacts.lockfile import FileKind, Unlocked
from core.artifacts.partial_download import PIECE_BYTES
from core.artifacts.verification_cache import VerificationCache
from core.errors import Cancelled, ChecksFailed, XaivaError
from core.files import disk_error
from core.progress import StageState
from core.site import Site
from tests.support import require
from tests.support.artifacts import QUICK, RecordingProgress, locked, random_file, with_settings, write_lock_of
from tests.support.index import Fault, Index
from tests.support.sync import LARGE, NAME, SMALL, lock_files, run, run_and_verify


def test_brings_all_files_and_then_nothing(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": LARGE, "c-1.whl": 1})
    outcome = run(quick)
    assert outcome["fetched_bytes"] == SMALL + LARGE + 1
    assert [path.read_bytes() for path in paths] == [(index.folder / path.name).read_bytes() for path in paths]
    requirements = (artifacts_folder(quick, NAME) / "layers/common/requirements.txt").read_text()
    assert requirements.startswith("a==1.0 --hash=sha256:")
    assert verify.verify(quick, NAME) == []
    before = len(index.requests)
    assert run(quick)["fetched_bytes"] == 0
    assert len(index.requests) == before


def test_a_sync_of_a_lock_that_lacks_something_says_so_at_its_end(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"a-1.whl": SMALL})
    assert run(quick)["findings"] == []
    lacking = [Unlocked(what="base image debian:test", why="no registry", remedy="get it")]
    write_lock(quick, NAME, read_lock(quick, NAME).model_copy(update={"unlocked": lacking}))
    findings = run(quick)["findings"]
    assert isinstance(findings, list)
    assert [(finding["level"], finding["what"]) for finding in findings] == [("warning", "base image debian:test")]


def test_plan_changes_nothing_and_says_what_would_be(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": SMALL})
    random_file(paths[0], SMALL, 0)
    random_file(paths[0].with_name("stray.whl"), 10)
    plan = sync.plan(quick, NAME)
    assert (plan.files, plan.present_files, plan.fetch_files, plan.fetch_bytes) == (2, 1, 1, SMALL)
    assert plan.extra == ["layers/common/wheels/stray.whl"]
    assert plan.fits
    assert plan.seconds is None
    assert not paths[1].exists()
    assert index.requests == []
    run(quick)
    paths[1].unlink()
    assert sync.plan(quick, NAME).seconds is not None


def test_progress_and_log_name_what_came(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": LARGE})
    progress = RecordingProgress()
    run(quick, progress)
    host = index.url.removeprefix("http://")
    sizes = zip(paths, (0.3, 50.3), strict=True)
    lines = [f"layers/common/wheels/{path.name}: {size} MB from {host}" for path, size in sizes]
    assert sorted(line for line in progress.lines if " from " in line) == lines
    overall = progress.stages["sync"]
    assert (overall.done, overall.total, overall.state) == (SMALL + LARGE, SMALL + LARGE, StageState.DONE)


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage_flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def damage_swap(path: Path) -> None:
    path.write_bytes(path.with_name("b-1.whl").read_bytes())


def damage_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (damage_truncate, "has 299999 bytes instead of 300000"),
        (damage_flip, "has other content (SHA-256 differs)"),
        (damage_swap, "has the content of layers/common/wheels/b-1.whl"),
        (damage_folder, "is not a regular file"),
    ],
)
def test_damage_is_named_and_repaired(quick: Site, index: Index, damage: Callable[[Path], None], problem: str) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": SMALL})
    run(quick)
    damage(paths[0])
    findings = verify.verify(quick, NAME)
    assert [(finding.where, finding.why) for finding in findings] == [("layers/common/wheels/a-1.whl", problem)]
    with pytest.raises(ChecksFailed, match=re.escape(problem)):
        verify.run(quick, NAME, {}, RecordingProgress())
    progress = RecordingProgress()
    outcome = run_and_verify(quick, progress)
    assert outcome["repaired"] == ["layers/common/wheels/a-1.whl"]
    assert problem in progress.text()
    assert outcome["fetched_bytes"] in (0, SMALL)


def test_extra_and_generated_files_are_repaired(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL})
    run(quick)
    root = artifacts_folder(quick, NAME)
    random_file(paths[0].with_name("evil-1.whl"), 10)
    random_file(root / "local-wheels/mine-1.whl", 10)
    paths[0].with_name("linked").symlink_to(root / "local-wheels")
    (root / "pylock.toml").write_text("something else")
    codes = {(finding.code, finding.where) for finding in verify.verify(quick, NAME)}
    extra = ["layers/common/wheels/evil-1.whl", "layers/common/wheels/linked"]
    assert codes == {*(("artifact-extra", path) for path in extra), ("artifact-derived", "pylock.toml")}
    assert run(quick)["removed"] == extra
    assert verify.verify(quick, NAME) == []
    assert (root / "local-wheels/mine-1.whl").exists()


def test_equal_files_of_two_presets_share_the_disk(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": SMALL})
    run(quick)
    served = len(index.requests)
    files = [locked(index.folder / path.name, index.file_url(path.name), under="models") for path in paths]
    files = [file.model_copy(update={"kind": FileKind.MODEL}) for file in files]
    write_lock_of(quick, "other", files)
    outcome = sync.run(quick, "other", {}, RecordingProgress())
    assert outcome["linked_files"] == 2
    assert len(index.requests) == served
    assert (artifacts_folder(quick, "other") / "models/a-1.whl").stat().st_ino == paths[0].stat().st_ino
    for preset in (NAME, "other"):  # the new links have changed the files' ctime: neither reads them again for that
        cache = VerificationCache(quick, preset)
        for file in read_lock(quick, preset).files:
            assert cache.is_verified(file.path, file.under(artifacts_folder(quick, preset)).lstat(), file.sha256)
    damage_flip(paths[0])  # in place: the other preset's file is the same one, and both say so
    assert [finding.where for finding in verify.verify(quick, "other")] == ["models/a-1.whl"]


def test_two_equal_files_of_one_preset_are_fetched_once(quick: Site, index: Index) -> None:
    path = random_file(index.folder / "a-1.whl", SMALL)
    files = [locked(path, index.file_url("a-1.whl"), FileKind.MODEL, under) for under in ("models/one", "models/two")]
    write_lock_of(quick, NAME, files)
    outcome = run_and_verify(quick)
    assert (outcome["fetched_bytes"], outcome["linked_files"]) == (SMALL, 1)
    index.always = {"a-1.whl": Fault(status=404)}
    for file in files:
        file.under(artifacts_folder(quick, NAME)).unlink()
    with pytest.raises(XaivaError, match="2 files of p"):
        run(quick)


def test_a_twin_with_other_bytes_is_not_shared(quick: Site, index: Index) -> None:
    paths = lock_files(quick, index, {"a-1.whl": SMALL})
    run(quick)
    damage_flip(paths[0])
    file = locked(index.folder / "a-1.whl", index.file_url("a-1.whl"), kind=FileKind.MODEL, under="models")
    write_lock_of(quick, "other", [file])
    assert sync.run(quick, "other", {}, RecordingProgress())["linked_files"] == 0
    assert verify.verify(quick, "other") == []


def test_cancel_is_quick_even_when_the_server_stalls_and_the_next_sync_goes_on(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"b-1.whl": LARGE})
    index.always = {"b-1.whl": Fault(stall_after=2_000_000)}
    patient = with_settings(quick, QUICK.model_copy(update={"stall_seconds": 60}))
    progress = RecordingProgress()
    progress.stop_at = 1_000_000
    with pytest.raises(Cancelled):
        run(patient, progress)
    assert progress.stages["sync"].state is StageState.CANCELLED
    index.always = {}
    plan = sync.plan(quick, NAME)
    assert plan.resumed_bytes >= 1_000_000
    assert run_and_verify(quick)["fetched_bytes"] <= LARGE - 1_000_000


def journaled(partial: Path) -> int:
    """The bytes on disk according to the journals of unfinished files."""
    states = [json.loads(path.read_text()) for path in partial.glob("*.json")]
    return max((sum(done for _, _, done in state["pieces"]) for state in states), default=0)


def test_a_kill_in_the_middle_is_continued(quick: Site, index: Index) -> None:
    small, _ = lock_files(quick, index, {"a-1.whl": SMALL, "b-1.whl": LARGE})
    stalls = [Fault(stall_after=count) for count in (PIECE_BYTES // 2, PIECE_BYTES // 2, 1)]
    index.faults = {"b-1.whl": [Fault(), *stalls]}
    code = (
        "import sys; from core.artifacts import sync; from core.progress import NullProgress; "
        f"from core.site import Site; sync.run(Site.open(sys.argv[1]), {NAME!r}, {{}}, NullProgress())"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(quick.root)])
    journal = artifacts_folder(quick, NAME) / ".partial"
    deadline = time.monotonic() + 30
    while journaled(journal) < PIECE_BYTES or not small.exists():
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert run_and_verify(quick)["fetched_bytes"] <= LARGE - PIECE_BYTES  # at least the first piece was kept


def test_too_small_a_disk_is_seen_before_anything_is_fetched(quick: Site, index: Index) -> None:
    path = random_file(index.folder / "a-1.whl", SMALL)
    huge = locked(path, index.file_url("a-1.whl")).model_copy(update={"size": 1 << 60})
    write_lock_of(quick, NAME, [huge])
    with pytest.raises(XaivaError, match="Not enough space") as caught:
        run(quick)
    assert "free at least" in caught.value.remedy
    assert index.requests == []


def test_a_disk_that_fills_up_keeps_what_came(site: Site, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    require(os.geteuid() == 0, "root, to mount a small tmpfs")
    mount = site.artifacts
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(mount)], check=True)
    try:
        quick = with_settings(site)
        lock_files(quick, index, {"b-1.whl": LARGE})
        monkeypatch.setattr("core.artifacts.sync.check_space", lambda site, numbers: None)
        with pytest.raises(OSError, match="No space left") as caught:
            run(quick)
        error = disk_error(caught.value)  # which is what an operation ends with
        assert error
        assert "goes on" in error.remedy
        subprocess.run(["mount", "-o", "remount,size=200m", str(mount)], check=True)
        assert run(quick)["fetched_bytes"] < LARGE
        assert verify.verify(quick, NAME) == []
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_what_a_stopped_sync_left_never_counts_for_more_than_the_file(quick: Site, index: Index) -> None:
    lock_files(quick, index, {"a-1.whl": 100})
    sha256 = sync.prepare_sync(quick, NAME, VerificationCache(quick, NAME), RecordingProgress()).lock.files[0].sha256
    partial = artifacts_folder(quick, NAME) / ".partial" / f"{sha256}.part"
    random_file(partial, 100)  # takes a block of 4 KiB on the disk
    plan = sync.plan(quick, NAME)
    assert (plan.fetch_bytes, plan.resumed_bytes, plan.needed_bytes) == (0, 100, 0)


def test_no_lock_says_how_to_get_one(quick: Site) -> None:
    with pytest.raises(XaivaError, match="has no lock") as caught:
        run(quick)
    assert f"xaiva lock {NAME}" in caught.value.remedy
