"""Jobs over HTTP: started, refused, listed, followed in their log, cancelled, tried again, exported."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.api_schema import JobPage, JobQuery
from core.inference.inspection.index_files import index_generations
from tests.api.serving import TOKEN, Running, served
from tests.inference.generation_writer import publish
from tests.support import sample_jobs, until

BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with the sample kinds of jobs."""
    with pytest.MonkeyPatch.context() as patch:
        sample_jobs.install(patch)
        with served(tmp_path_factory.mktemp("jobs"), jobs_keep=1000) as running:
            yield running


@pytest.fixture
def api(jobs: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=jobs.url, headers=BEARER, timeout=30) as client:
        yield client


def start(api: httpx.Client, kind: str, subject: str = "", **more: Any) -> dict[str, Any]:
    """The new job; `options` and `priority` as given."""
    response = api.post("/jobs", json={"kind": kind, "subject": subject, **more})
    assert response.status_code == 202, response.text
    return dict(response.json())


def ended(api: httpx.Client, job: int) -> dict[str, Any]:
    """The job, once it has ended."""
    return dict(until(lambda: api.get(f"/jobs/{job}").json(), lambda one: one["state"] not in ("queued", "running")))


def test_a_job_is_accepted_and_says_what_came_out(api: httpx.Client) -> None:
    response = api.post("/jobs", json={"kind": "quick", "subject": "red", "options": {"count": 3}})
    job = response.json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/jobs/{job['id']}"
    assert int(response.headers["Retry-After"]) > 0
    job = ended(api, job["id"])
    assert (job["state"], job["result"]) == ("done", {"subject": "red", "count": 3})
    assert job["by"] == "service from 127.0.0.1"
    assert [entry["what"] for entry in job["history"]] == ["requested", "started, attempt 1", "done"]
    assert job["history"][0]["by"] == "service from 127.0.0.1"
    seqs = [entry["seq"] for entry in job["history"]]
    assert seqs == sorted(set(seqs))


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"kind": "unknown"}, "banks, checked, fail"),
        ({"kind": "index", "subject": "sideways"}, "normal or defect"),
        ({"kind": "rollback", "subject": "index"}, "bank:PRODUCT"),
        ({"kind": "checked", "subject": "bad"}, "never accepted"),
        ({"kind": "quick", "options": {"colour": "red"}}, "options of quick: count"),
        ({"kind": "quick", "options": {"count": True}}, "a whole number"),
        ({"kind": "index", "subject": "normal", "options": {"force": "no"}}, "true or false"),
        ({"kind": "named", "options": {"name": "\ud800"}}, "Unicode"),
        ({"kind": "named", "options": {"name": "x" * 70_000}}, "characters"),
        ({"kind": "quick", "priority": "urgent"}, "high"),
        ({"kind": "quick", "colour": "red"}, "colour"),
    ],
)
def test_what_a_job_cannot_work_with_is_refused_before_it_is_queued(
    api: httpx.Client, body: dict[str, Any], word: str
) -> None:
    before = len(api.get("/jobs").json()["jobs"])
    content = json.dumps(body).encode()  # with half a surrogate pair as \ud800, which httpx would refuse to send
    response = api.post("/jobs", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert word in response.text
    assert len(api.get("/jobs").json()["jobs"]) == before


def test_fifty_requests_of_one_key_at_once_start_one_job(jobs: Running, api: httpx.Client) -> None:
    answers: list[httpx.Response] = []
    gate = threading.Barrier(50)

    def ask() -> None:
        with httpx.Client(base_url=jobs.url, headers=BEARER, timeout=60) as client:
            gate.wait(60)
            answers.append(client.post("/jobs", json={"kind": "wait", "subject": "fifty"}))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert Counter(answer.status_code for answer in answers) == {202: 1, 409: 49}
    (accepted,) = [answer for answer in answers if answer.status_code == 202]
    job = accepted.json()["id"]
    for refused in answers:
        if refused is not accepted:
            assert f"job {job} (wait fifty)" in refused.json()["why"]
            assert refused.headers["Location"] == f"/jobs/{job}"
    assert len(api.get("/jobs", params={"subject": "fifty"}).json()["jobs"]) == 1
    sample_jobs.release(jobs.service.settings.data, "fifty")
    assert ended(api, job)["state"] == "done"


def test_the_same_request_with_its_key_is_the_same_job(api: httpx.Client) -> None:
    headers = {"Idempotency-Key": "from-the-test-1"}
    body = {"kind": "quick", "subject": "once", "options": {"count": 1}}
    first = api.post("/jobs", json=body, headers=headers)
    assert first.status_code == 202
    ended(api, first.json()["id"])
    again = api.post("/jobs", json=body, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    for other in ({**body, "subject": "twice"}, {**body, "options": {}}, {**body, "priority": "high"}):
        refused = api.post("/jobs", json=other, headers=headers)
        assert refused.status_code == 422
        assert f"job {first.json()['id']} was started with it" in refused.json()["why"]
    for bad in ("", "two words", "x" * 201, "\x7f"):
        assert api.post("/jobs", json=body, headers={"Idempotency-Key": bad}).status_code == 422
    assert len(api.get("/jobs", params={"subject": "once"}).json()["jobs"]) == 1


def test_a_repeated_request_is_known_even_if_it_could_not_start_now(
    jobs: Running, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Idempotency-Key": "from-before-the-update"}
    body = {"kind": "quick", "subject": "still known"}
    first = api.post("/jobs", json=body, headers=headers).json()["id"]
    ended(api, first)
    monkeypatch.delitem(jobs.service.jobs.kinds, "quick")  # as by an update without this kind
    again = api.post("/jobs", json=body, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first)
    assert api.post("/jobs", json=body).status_code == 422


def test_a_queued_job_says_why_it_waits_and_priority_decides_who_is_next(jobs: Running, api: httpx.Client) -> None:
    data = jobs.service.settings.data
    first = start(api, "heavy", "a")
    low, high = start(api, "heavy", "b", priority="low"), start(api, "heavy", "c", priority="high")
    waiting = api.get(f"/jobs/{low['id']}").json()
    assert waiting["state"] == "queued"
    assert "cpu" in waiting["why_queued"]
    assert waiting["resources"] == ["cpu"]
    assert f"job {first['id']} (heavy a)" in waiting["why_queued"]
    refused = api.post("/jobs", json={"kind": "heavy", "subject": "b"}).json()
    assert f"job {low['id']} (heavy b)" in refused["why"]
    assert "operation" not in refused["why"]
    for subject in "acb":
        sample_jobs.release(data, subject)
    times = [ended(api, job["id"])["started"] for job in (first, high, low)]
    assert times == sorted(times)


def test_a_failure_of_the_input_is_final_and_one_that_may_pass_is_tried_again(api: httpx.Client) -> None:
    failed, shaken = start(api, "fail", "x"), start(api, "shaky", "y")
    failed, shaken = ended(api, failed["id"]), ended(api, shaken["id"])
    assert (failed["state"], failed["attempt"]) == ("failed", 1)
    assert failed["failure"] == {
        "what": "Subject x",
        "why": "it cannot be worked with",
        "remedy": "choose another one",
    }
    assert (shaken["state"], shaken["attempt"], shaken["result"]) == ("done", 2, {"tries": 2})
    assert sum("Storage: it does not answer" in entry["what"] for entry in shaken["history"]) == 1


def test_a_rollback_that_is_killed_after_it_took_effect_goes_back_once_and_is_done(
    jobs: Running, api: httpx.Client
) -> None:
    generations = index_generations(jobs.service.settings, "normal")
    folders = [publish(generations, text).path for text in ("a", "b")]
    publish(generations, "c")
    shutil.copytree(folders[1], folders[0])  # that a killed publication left: there is one more to go back to
    job = ended(api, start(api, "killed_rollback", "index:normal")["id"])
    assert (job["state"], job["attempt"], job["failure"]) == ("done", 2, None)
    assert job["result"] == {"generation": 2, "left": 3, "findings": []}
    assert generations.token() == "000002"


def test_a_job_is_cancelled_and_tried_again(jobs: Running, api: httpx.Client) -> None:
    data = jobs.service.settings.data
    job = start(api, "wait", "later")["id"]
    until((data / "began-later").exists, bool)
    assert api.post(f"/jobs/{job}/cancel").status_code == 200
    assert ended(api, job)["state"] == "cancelled"
    assert api.post(f"/jobs/{job}/cancel").json()["state"] == "cancelled"  # nothing to do
    sample_jobs.release(data, "later")
    again = api.post(f"/jobs/{job}/retry")
    assert (again.status_code, again.headers["Location"]) == (202, f"/jobs/{job}")
    done = ended(api, job)
    assert (done["state"], done["attempt"]) == ("done", 2)
    refused = api.post(f"/jobs/{job}/retry")
    assert (refused.status_code, refused.json()["why"]) == (409, "it is done")
    for path in ("/jobs/999999/cancel", "/jobs/999999/retry"):
        assert api.post(path).status_code == 404


def test_the_list_is_filtered_and_paged(api: httpx.Client) -> None:
    numbers = [start(api, "quick", f"page-{number}")["id"] for number in range(5)]
    for number in numbers:
        ended(api, number)
    seen: list[int] = []
    cursor = ""
    while True:
        page = api.get("/jobs", params={"kind": "quick", "state": "done", "limit": 2, "cursor": cursor}).json()
        assert len(page["jobs"]) <= 2
        assert all(job["kind"] == "quick" and job["state"] == "done" for job in page["jobs"])
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next"]
        if not cursor:
            break
    assert seen == sorted(seen, reverse=True)
    assert set(numbers) <= set(seen)
    created = api.get(f"/jobs/{numbers[3]}").json()["created"]
    since = api.get("/jobs", params={"kind": "quick", "since": created}).json()["jobs"]
    assert {job["id"] for job in since} == set(numbers[3:])
    assert api.get("/jobs", params={"cursor": "elsewhere"}).status_code == 422
    assert api.get("/jobs", params={"state": "sleeping"}).status_code == 422


def test_the_list_counts_the_findings_of_a_job_and_leaves_them_to_the_job_itself(api: httpx.Client) -> None:
    job = ended(api, start(api, "picky")["id"])
    assert [finding["what"] for finding in job["result"].pop("findings")] == ["Picture 1", "Picture 2"]
    (listed,) = api.get("/jobs", params={"kind": "picky"}).json()["jobs"]
    assert listed["result"] == job["result"] == {"pictures": 7, "findings_total": 2}


def test_the_log_is_read_by_offset(api: httpx.Client) -> None:
    job = start(api, "steps", options={"count": 7})["id"]
    ended(api, job)
    lines: list[str] = []
    offset = 0
    while True:
        part = api.get(f"/jobs/{job}/log", params={"offset": offset, "limit": 3}).json()
        assert len(part["lines"]) <= 3
        lines, offset = lines + part["lines"], part["next"]
        if part["end"]:
            break
    assert [line.split(" ", 1)[1] for line in lines] == [f"s{number}: line {number}" for number in range(7)]


def test_the_history_is_exported(api: httpx.Client) -> None:
    job = start(api, "steps", "=1+1", options={"count": 2})["id"]
    ended(api, job)
    rows = list(csv.DictReader(io.StringIO(api.get("/jobs/export", params={"format": "csv", "kind": "steps"}).text)))
    (row,) = [row for row in rows if row["id"] == str(job)]
    assert row["subject"] == "'=1+1"  # no formula for a spreadsheet
    assert row["state"] == "done"
    assert row["by"] == "service from 127.0.0.1"
    assert "Step 0: done" in row["stages"]
    assert row["result"] == '{"steps": 2}'
    document = api.get("/jobs/export", params={"subject": "=1+1"}).json()
    assert [one["id"] for one in document["jobs"]] == [job]
    assert document["jobs"][0] == api.get(f"/jobs/{job}").json()
    assert api.get("/jobs/export", params={"subject": "nobody"}).json() == {"jobs": []}
    assert api.get("/jobs/export", params={"format": "xml"}).status_code == 422


def test_the_kinds_say_what_they_take(api: httpx.Client) -> None:
    kinds = {kind["kind"]: kind for kind in api.get("/jobs/kinds").json()}
    assert kinds["index"]["subjects"] == "normal or defect"
    assert kinds["index"]["resources"] == ["cpu"]
    assert "force" in kinds["index"]["options"]
    assert kinds["rollback"]["resources"] == []


def test_the_short_list_leaves_out_a_job_that_is_removed_meanwhile(
    jobs: Running, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = jobs.service.jobs.page

    def page_with_a_removed_job(query: JobQuery) -> JobPage:
        removed = page(JobQuery(limit=1)).jobs[0].model_copy(update={"id": 999999})
        return JobPage(jobs=[removed, *page(query).jobs])

    start(api, "quick", "still there")
    before = api.get("/api/admin/deployment/logs").json()
    monkeypatch.setattr(jobs.service.jobs, "page", page_with_a_removed_job)
    after = api.get("/api/admin/deployment/logs")
    assert (after.status_code, after.json()) == (200, before)


def test_the_short_routes_start_and_show_the_same_jobs(jobs: Running, api: httpx.Client) -> None:
    base = "/api/admin/deployment"
    assert api.get(f"{base}/logs").json() == []
    headers = {"Idempotency-Key": "from-a-page"}
    begun = api.post(f"{base}/clip/normal", headers=headers)
    assert begun.status_code == 202
    task = begun.json()
    assert begun.headers["Location"] == f"{base}/status/{task['task_id']}"
    assert int(begun.headers["Retry-After"]) > 0
    assert api.post(f"{base}/clip/normal", headers=headers).json()["task_id"] == task["task_id"]
    assert api.post(f"{base}/clip/defect", headers=headers).status_code == 422
    assert (task["kind"], task["subject"]) == ("clip", "normal")
    for body, subject in ((None, ""), ({}, ""), ({"product": "board"}, "board")):
        bank = api.post(f"{base}/patchcore", json=body) if body is not None else api.post(f"{base}/patchcore")
        if bank.status_code == 409:  # the one for all products still waits
            assert (subject, bank.headers["Location"] != "") == ("", True)
            continue
        assert (bank.status_code, bank.json()["kind"], bank.json()["subject"]) == (202, "patchcore", subject)
    assert api.post(f"{base}/clip/sideways").status_code == 422
    ended(api, int(task["task_id"]))  # done, or failed: there are no pictures here
    status = api.get(f"{base}/status/{task['task_id']}").json()
    job = api.get(f"/jobs/{task['task_id']}").json()
    assert status["status"] == job["state"]
    assert 0 <= status["progress"] <= 1
    logs = api.get(f"{base}/logs").json()
    assert [one["task_id"] for one in logs] == sorted((one["task_id"] for one in logs), key=int, reverse=True)
    assert {one["kind"] for one in logs} == {"clip", "patchcore"}
    other = start(api, "quick", "no task")["id"]
    for number in (other, 999999):
        assert api.get(f"{base}/status/{number}").status_code == 404
    assert api.get(f"{base}/status/none").status_code == 422


def test_a_ledger_that_cannot_be_read_is_no_fault_of_the_request(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "ledger.sqlite").write_text("not a ledger" * 1000)
    with served(tmp_path) as running, httpx.Client(base_url=running.url, headers=BEARER, timeout=30) as client:
        response = client.get("/jobs")
        assert response.status_code == 503
        assert "not a database" in response.json()["why"]
        assert client.get("/jobs/kinds").status_code == 200
