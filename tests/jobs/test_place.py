"""The place of the service's jobs: the settings of its processes, what is cleaned up, where the ledger may lie."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.api_schema import JobFilter, JobQuery, JobRequest
from core.errors import InputError, XaivaError
from core.files import TEMPORARY_PREFIX
from core.inference.jobs import place as place_module
from core.inference.jobs.context import JobContext
from core.inference.jobs.kinds import KINDS, NICENESS, check_request
from core.inference.jobs.place import CPU, GPU, job_environment, job_place, open_job_place
from core.inference.jobs.service import JobService
from core.inference.settings import ServiceSettings, read_settings
from core.operations import database
from core.operations.database import shared_connection
from core.operations.ledger import Ledger
from tests.support import sample_jobs, until


def test_a_job_has_the_settings_of_its_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAIVA_ZONE", "Europe/Berlin")  # of the environment, but not of this service
    monkeypatch.setenv("XAIVA_DATA_KEY", "kept")
    settings = ServiceSettings(
        data=tmp_path,
        jobs=tmp_path / "local",
        storage_url="s3://bucket/prefix",
        jobs_findings=0.5,
        encoder="clip.onnx",
        onnx_provider="cpu",
    )
    environment = job_environment(settings)
    assert environment["XAIVA_DATA_KEY"] == "kept"
    assert read_settings(environment, tmp_path) == settings


def test_the_process_of_a_job_opens_the_same_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XAIVA_JOBS_KEEP", "12")
    monkeypatch.setenv("XAIVA_SERVICE_TOKEN", "a-secret-of-the-service-0123456789")
    place = open_job_place(str(tmp_path))
    assert (place.root, place.state, place.keep) == (tmp_path, tmp_path / "jobs", 12)
    assert "***" in str(XaivaError("a-secret-of-the-service-0123456789"))  # hidden from here on


def test_jobs_that_compute_take_the_device_one_at_a_time_below_the_cameras(tmp_path: Path) -> None:
    rules = job_place(ServiceSettings(data=tmp_path), GPU).rules
    assert rules["index"].resources == ("gpu:0",)
    assert rules["rollback"].resources == ()
    assert {rule.niceness for rule in rules.values()} == {NICENESS}
    assert all(rule.silence > 0 for rule in rules.values())


def test_a_failure_that_may_pass_is_tried_again_three_times_each_time_later(tmp_path: Path) -> None:
    for rule in job_place(ServiceSettings(data=tmp_path), CPU).rules.values():
        assert rule.attempts - 1 == len(rule.pauses) == 3
        assert list(rule.pauses) == sorted(set(rule.pauses))


@pytest.mark.parametrize(
    ("kind", "subject", "good"),
    [
        ("index", "normal", True),
        ("index", "", False),
        ("index", "normal\n", False),
        ("banks", "", True),
        ("banks", "한글 제품", True),
        ("rollback", "bank:한글 제품", True),
        ("rollback", "index:defect", True),
        ("rollback", "bank:", False),
    ],
)
def test_subjects_are_checked(tmp_path: Path, kind: str, subject: str, good: bool) -> None:
    context = JobContext(ServiceSettings(data=tmp_path))
    if good:
        assert check_request(KINDS, kind, context, subject, {}) is KINDS[kind]
    else:
        with pytest.raises(InputError, match="cannot work on it"):
            check_request(KINDS, kind, context, subject, {})


def test_what_a_killed_job_left_is_removed_but_not_what_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_jobs.install(monkeypatch)
    settings = ServiceSettings(data=tmp_path)
    place = job_place(settings)
    ledger = Ledger(place)
    job = ledger.start("wait", "first", key="wait:first")
    until((tmp_path / "began-first").exists)
    folder = settings.inspection_folder
    left = [
        folder / "index-normal" / f"{TEMPORARY_PREFIX}half" / "file",
        folder / "banks" / "a" / f"{TEMPORARY_PREFIX}one",
    ]
    kept = [folder / "kept" / f"{TEMPORARY_PREFIX}picture", folder / "index-normal" / "000001" / "file"]
    for path in [*left, *kept]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    place.remove_leftovers("index:normal")  # of a job that was killed while the first one works
    assert all(path.exists() for path in [*left, *kept])
    os.kill(ledger.get(job.id).pid, 9)
    until(lambda: not any(path.exists() for path in left) or not ledger.get(job.id).state.live)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    sample_jobs.release(tmp_path)
    assert ledger.wait(job.id, 30).state.value == "done"


def test_what_a_job_writes_that_starts_during_the_removal_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ServiceSettings(data=tmp_path)
    banks = settings.inspection_folder / "banks"
    banks.mkdir(parents=True)
    left, new = banks / f"{TEMPORARY_PREFIX}left", banks / f"{TEMPORARY_PREFIX}new"
    left.touch()
    look = place_module.read_rows

    def look_before_a_job_starts(*arguments: Any) -> Any:
        rows = look(*arguments)
        new.touch()
        return rows

    monkeypatch.setattr(place_module, "read_rows", look_before_a_job_starts)
    job_place(settings).remove_leftovers("banks:")
    assert new.exists()
    assert not left.exists()


def test_a_ledger_on_nfs_is_refused_with_what_to_do_and_the_service_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "file_system_type", lambda _path: "nfs4")
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "ledger.sqlite").touch()  # of a time when it was local
    jobs = JobService(ServiceSettings(data=tmp_path))
    jobs.start()
    try:
        assert "set XAIVA_JOBS to a folder on a local disk" in caplog.text
        with pytest.raises(XaivaError, match="network file system") as refused:
            jobs.request(JobRequest(kind="banks"))
        assert "XAIVA_JOBS" in refused.value.remedy
    finally:
        jobs.stop()


def test_the_final_event_of_a_job_does_not_depend_on_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample_jobs.install(monkeypatch)
    jobs = JobService(ServiceSettings(data=tmp_path))
    job = jobs.request(JobRequest(kind="fail", subject="thing")).id
    jobs.ledger.wait(job, 30)
    jobs.retry(job)
    jobs.ledger.wait(job, 30)
    for shift in (-3600, 3600):  # as if the clock had been changed before the second try, or after it
        shared_connection(jobs.ledger.path).execute("UPDATE operation SET ended = ended + ?", (shift,))
        events = jobs.events(0, 100, 100)
        assert [event.seq for event in events if event.final] == [events[-1].seq]
        assert jobs.events_of(job) == events


def test_a_job_is_shown_as_ended_after_its_memory_was_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample_jobs.install(monkeypatch)
    released: list[bool] = []
    jobs = JobService(ServiceSettings(data=tmp_path), lambda: released.append(True))
    job = jobs.request(JobRequest(kind="quick", subject="thing")).id
    jobs.ledger.wait(job, 30)
    looks: tuple[Callable[[], object], ...] = (
        lambda: jobs.get(job),
        lambda: jobs.page(JobQuery()),
        lambda: list(jobs.all(JobFilter())),
        jobs.watch.refresh,
    )
    for look in looks:
        released.clear()
        look()
        assert released
