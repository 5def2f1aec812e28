"""Jobs when the service is killed, and when it is stopped as planned."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from core.inference.jobs.place import job_place
from core.inference.settings import ServiceSettings
from core.operations.ledger import Ledger
from tests.support import sample_jobs, until
from tests.support.service import SAMPLE_JOBS, TOKEN, ServiceProcess


@contextmanager
def service(data: Path) -> Iterator[tuple[ServiceProcess, httpx.Client]]:
    """A service with the sample kinds as a process, killed at the end, and a client of its API."""
    data.mkdir(exist_ok=True)
    process = ServiceProcess(data, **{SAMPLE_JOBS: "1"})
    try:
        process.ready()
        url = f"http://127.0.0.1:{process.port}"
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as api:
            yield process, api
    finally:
        process.process.kill()
        process.process.wait()


def start(api: httpx.Client, kind: str, subject: str) -> int:
    response = api.post("/jobs", json={"kind": kind, "subject": subject})
    assert response.status_code == 202, response.text
    return int(response.json()["id"])


def states(api: httpx.Client) -> dict[int, str]:
    return {job["id"]: job["state"] for job in api.get("/jobs").json()["jobs"]}


def entries(api: httpx.Client, job: int) -> list[str]:
    return [entry["what"] for entry in api.get(f"/jobs/{job}").json()["history"]]


def test_a_killed_service_finds_its_jobs_and_its_queue_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with service(data) as (process, api):
        running = start(api, "heavy", "a")
        queue = [start(api, "heavy", subject) for subject in "bc"]
        until((data / "began-a").exists)
        process.process.kill()
        process.process.wait()
    with service(data) as (_, api):
        assert states(api) == {running: "running", **dict.fromkeys(queue, "queued")}  # the job did not notice
        for subject in "abc":
            sample_jobs.release(data, subject)
        until(lambda: states(api), lambda now: set(now.values()) == {"done"})
        assert entries(api, running) == ["requested", "started, attempt 1", "done"]
        assert [entries(api, job)[-1] for job in queue] == ["done", "done"]


def test_a_planned_stop_puts_jobs_back_and_the_next_start_goes_on(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with service(data) as (process, api):
        job, waiting = start(api, "heavy", "a"), start(api, "heavy", "b")
        until((data / "began-a").exists)
        assert process.stop() == 0
    with service(data) as (_, api):
        sample_jobs.release(data)
        until(lambda: states(api), lambda now: set(now.values()) == {"done"})
        first = entries(api, job)
        assert first[:2] == ["requested", "started, attempt 1"]
        assert "queued again" in first[2]
        assert first[-1] == "done"
        assert entries(api, waiting)[-1] == "done"


def test_a_job_that_is_killed_with_its_service_is_tried_again_and_its_history_tells(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with service(data) as (process, api):
        job = start(api, "wait", "a")
        until((data / "began-a").exists)
        process.process.kill()
        process.process.wait()
    os.kill(Ledger(job_place(ServiceSettings(data=data))).get(job).pid, signal.SIGKILL)
    sample_jobs.release(data)
    with service(data) as (_, api):
        until(lambda: states(api), lambda now: set(now.values()) == {"done"})
        told = entries(api, job)
        assert "attempt 1 was lost" in told[2]
        assert told[3:] == ["started, attempt 2", "done"]
