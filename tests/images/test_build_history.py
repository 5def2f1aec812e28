"""The build history: listing, broken records, deletion of old builds, and why a build was slower."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.artifacts.lock_store import lock_text
from core.artifacts.lockfile import FileKind, Lock, LockedFile, LockedImage
from core.errors import InputError
from core.files import TEMPORARY_PREFIX
from core.images.build_history import (
    RECORD_FILE,
    UNREADABLE,
    BuildOutcome,
    BuildRecord,
    StageRecord,
    builds_folder,
    compare_builds,
    list_builds,
    read_build,
    remove_old_builds,
    save_record,
    start_record,
)
from core.site import Site
from core.site_operations import site_place

BASE = LockedImage(reference="debian:x", tag="xaiva-base/debian:0123456789ab", config_digest="sha256:01")


def lock_with(*files: str) -> Lock:
    """A lock of these files, `path=hash letter`."""
    locked = [
        LockedFile(path=path, size=1, sha256=letter * 64, kind=FileKind.WHEEL, url="file:x")
        for path, _, letter in (file.partition("=") for file in files)
    ]
    return Lock(preset="p", preset_sha256="ab" * 32, python_version="3.11", base_image=BASE, files=locked)


def kept(site: Site, lock: Lock, started: float, *stages: StageRecord, preset: str = "p") -> BuildRecord:
    """A finished build of 100 s."""
    record, log = start_record(site, preset, lock, lock_text(lock), "runtime")
    values = {"started": started, "ended": started + 100, "outcome": BuildOutcome.DONE, "stages": list(stages)}
    record = record.model_copy(update=values)
    save_record(site, record)
    log.close()
    return record


def stage(name: str, seconds: float, cached: bool = False) -> StageRecord:
    """A stage as it ended."""
    return StageRecord(name=name, state="cached" if cached else "done", cached=cached, seconds=seconds)


def test_lists_newest_first_and_a_broken_record_is_a_row_that_says_so(site: Site) -> None:
    assert list_builds(site) == []
    first, second = kept(site, lock_with(), 1), kept(site, lock_with(), 2)
    other = kept(site, lock_with(), 3, preset="other")
    broken = builds_folder(site) / "broken"
    broken.mkdir()
    (broken / RECORD_FILE).write_text("{")
    *good, unreadable = list_builds(site)
    assert [record.id for record in good] == [other.id, second.id, first.id]
    assert (unreadable.id, unreadable.outcome.value) == ("broken", UNREADABLE)
    assert "cannot be read" in unreadable.error
    assert [record.id for record in list_builds(site, "p")] == [second.id, first.id]
    assert read_build(site, first.id) == first
    assert first.seconds == 100
    assert read_build(site, "broken") == unreadable
    with pytest.raises(InputError, match="no such build"):
        read_build(site, "another")


def test_a_build_runs_as_long_as_its_process(site: Site) -> None:
    record, log = start_record(site, "p", lock_with(), "{}", "runtime")
    with log:
        assert list_builds(site) == [record]
        assert (record.outcome, record.seconds) == (BuildOutcome.RUNNING, 0)


def test_a_build_that_was_killed_says_so(site: Site) -> None:
    code = (
        "import sys\n"
        "from core.images.build_history import start_record\n"
        "from core.site import Site\n"
        "from tests.images.test_build_history import lock_with\n"
        "kept = start_record(Site.open(sys.argv[1]), 'p', lock_with(), '{}', 'runtime')\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(site.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert list_builds(site)[0].outcome is BuildOutcome.RUNNING
        draft = builds_folder(site) / list_builds(site)[0].id / f"{TEMPORARY_PREFIX}record"
        draft.touch()
        site_place(site).clean_up("preset:another", "")
        assert draft.exists()
        child.kill()
    site_place(site).clean_up("preset:p", "")
    assert not draft.exists()
    records = list_builds(site)[0]
    assert records.outcome is BuildOutcome.CRASHED
    assert records.ended >= records.started
    assert "killed" in records.error
    assert read_build(site, records.id) == records


def test_keeps_only_the_newest(site: Site) -> None:
    for started in range(5):
        kept(site, lock_with(), started)
    (builds_folder(site) / "20010101T000000Z-killed").mkdir()  # as it began
    names = sorted(record.id for record in list_builds(site))
    remove_old_builds(site, 2)
    assert sorted(path.name for path in builds_folder(site).iterdir()) == names[-2:]


def test_says_why_a_build_was_slower(site: Site) -> None:
    old = lock_with("layers/a/wheels/x-1.whl=1", "layers/a/wheels/gone.whl=1", "layers/a/wheels/same.whl=1")
    new = lock_with("layers/a/wheels/x-1.whl=2", "layers/a/wheels/added.whl=1", "layers/a/wheels/same.whl=1")
    before = kept(site, old, 1, stage("python", 1, cached=True), stage("ffmpeg", 0, cached=True), stage("a", 10))
    after = kept(site, new, 2, stage("python", 1, cached=True), stage("ffmpeg", 77), stage("a", 20), stage("dev", 5))
    without_cache = compare_builds(site, before, after.model_copy(update={"no_cache": True})).reasons
    comparison = compare_builds(site, before, after)
    assert without_cache == ["it was built without the cache", *comparison.reasons]
    assert comparison.reasons[0] == "ffmpeg came from the cache before and was built this time: 77.0 s"
    assert comparison.reasons[1] == "a took 20.0 s instead of 10.0 s"
    assert comparison.reasons[2] == "dev is new: 5.0 s"
    changes = ["added layers/a/wheels/added.whl", "removed layers/a/wheels/gone.whl", "changed layers/a/wheels/x-1.whl"]
    assert comparison.lock_changes == changes
    assert not any("python" in reason for reason in comparison.reasons)
    assert next(s for s in comparison.stages if s.name == "dev").before is None


def test_equal_builds_have_no_reasons(site: Site) -> None:
    lock = lock_with("layers/a/wheels/x-1.whl=1")
    before, after = (kept(site, lock, n, stage("a", 10)) for n in (1, 2))
    comparison = compare_builds(site, before, after)
    assert comparison.reasons == comparison.lock_changes == []
    assert comparison.seconds == 0
