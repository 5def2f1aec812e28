"""`xaiva job` and the client's jobs, against a real service."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.api_schema import JobEvent, JobLines, JobQuery, JobRequest
from core.errors import InputError
from core.service_client import ServiceClient
from core.site import Site
from tests.api.serving import TOKEN, Running, served
from tests.cli.conftest import Run, Xaiva
from tests.support import sample_jobs, until
from tests.support.breakable_line import breakable_line


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with the sample kinds of jobs."""
    with pytest.MonkeyPatch.context() as patch:
        sample_jobs.install(patch)
        with served(tmp_path_factory.mktemp("jobs")) as running:
            yield running


@pytest.fixture
def job(xaiva: Xaiva, site: Site, service: Running) -> Xaiva:
    """`xaiva job …` on a site that has the service's address and token."""
    (site.root / "site.toml").write_text(f'[service]\nurl = "{service.url}"\n')
    (site.root / ".env").write_text(f"XAIVA_SERVICE_TOKEN={TOKEN}\n")
    return lambda *words, **more: xaiva("job", *words, **more)


def good(run: Run) -> Any:
    assert run.code == 0, run.out + run.err
    return run.document


def test_a_job_is_started_and_followed_to_its_end(job: Xaiva) -> None:
    followed = job("start", "steps", "red", "--option", "count=2", "--follow")
    assert followed.code == 0, followed.err
    for words in ("[done] Step 0", "s1: line 1", "steps red: done", "steps: 2"):
        assert words in followed.out
    started = good(job("start", "named", "blue", "-o", "name=hello", "--json"))["job"]
    messages = [json.loads(line) for line in job("follow", str(started["id"]), "--json").out.splitlines()]
    assert (messages[-1]["type"], messages[-1]["final"]) == ("event", True)
    assert messages[-1]["result"] == {"subject": "blue", "name": "hello"}
    shown = job("show", str(started["id"])).out
    assert "named blue: done" in shown
    assert "requested by service from 127.0.0.1" in shown


def test_the_list_says_how_many_findings_a_job_has(job: Xaiva) -> None:
    assert "Picture 2" in job("start", "picky", "--follow").out
    assert "2 findings" in job("list", "--kind", "picky").out


def test_what_became_of_each_product_is_a_table(job: Xaiva) -> None:
    shown = [line.split() for line in job("start", "for_each", "--follow").out.splitlines()]
    assert ["PRODUCTS", "GENERATION", "PUBLISHED", "AUROC", "FAILURE"] in shown
    assert ["lid", "3", "no"] in shown
    assert ["cap", "too", "dark"] in shown
    assert not [line for line in shown if line[:2] == ["findings", "total:"]]
    assert job("start", "for_each", "tree", "--follow").code == 0
    number = good(job("list", "--subject", "tree", "--json"))["jobs"][0]["id"]
    stages = [line for line in job("show", str(number)).out.splitlines() if "[done]" in line]
    assert [line.partition("0.0 s")[0].rstrip() for line in stages] == [
        "  [done] lid", "    [done] Part of lid", "  [done] cap", "    [done] Part of cap",
    ]  # fmt: skip


def test_a_job_that_fails_is_an_exit_code(job: Xaiva) -> None:
    run = job("start", "fail", "it", "--follow")
    assert run.code == 1
    assert "Subject it: it cannot be worked with" in run.out
    assert "failed" in job("list", "--state", "failed").out


def test_a_waiting_job_is_cancelled_and_tried_again(job: Xaiva, service: Running) -> None:
    number = str(good(job("start", "wait", "later", "--json"))["job"]["id"])
    assert "cancelled" in job("cancel", number).out
    state = until(
        lambda: good(job("show", number, "--json"))["job"]["state"], lambda state: state not in ("queued", "running")
    )
    assert state == "cancelled"
    sample_jobs.release(service.service.settings.data, "later")
    assert good(job("retry", number, "--json"))["job"]["id"] == int(number)
    assert job("follow", number).code == 0


def test_refusals_are_bad_input(job: Xaiva, service: Running) -> None:
    for words in (
        ("start", "nothing"),
        ("start", "index", "sideways"),
        ("start", "quick", "-o", "count"),
        ("show", "99999"),
        ("cancel", "99999"),
        ("list", "--since", "yestermonth"),
    ):
        assert job(*words).code == 2, words
    number = good(job("start", "wait", "busy", "--json"))["job"]["id"]
    busy = job("start", "wait", "busy")
    assert busy.code == 2
    assert f"xaiva job follow {number}" in busy.err
    sample_jobs.release(service.service.settings.data, "busy")
    assert job("follow", str(number)).code == 0


def test_kinds_lists_and_files(job: Xaiva, tmp_path: Path) -> None:
    kinds = good(job("kinds", "--json"))["kinds"]
    assert {"index", "banks", "rollback"} <= {kind["kind"] for kind in kinds}
    assert "normal or defect" in job("kinds").out
    assert job("start", "quick", "listed", "--follow").code == 0
    (listed,) = good(job("list", "--subject", "listed", "--json"))["jobs"]
    assert "no jobs match" in job("list", "--subject", "nobody").err
    target = tmp_path / "jobs.csv"
    assert job("export", str(target), "--subject", "listed").code == 0
    (row,) = csv.DictReader(target.read_text().splitlines())
    assert row["id"] == str(listed["id"])
    assert job("export", str(target)).code == 2  # it exists
    assert [one["id"] for one in good(job("export", "-", "--subject", "listed"))["jobs"]] == [listed["id"]]


def test_a_request_that_is_cut_after_its_body_starts_one_job(service: Running) -> None:
    with breakable_line(service.url) as line:
        cut = ServiceClient(line.url, 10, token=TOKEN)
        cut.jobs.kinds()
        line.lose_next_answer()
        job = cut.jobs.start(JobRequest(kind="quick", subject="cut"))
    assert [one.id for one in service.client().jobs.all(JobQuery(subject="cut"))] == [job.id]


def test_following_goes_on_after_the_line_was_down(service: Running) -> None:
    with breakable_line(service.url) as line:
        client = ServiceClient(line.url, 10, token=TOKEN)
        number = client.jobs.start(JobRequest(kind="steps", subject="line", options={"count": 80})).id
        lines: list[str] = []
        seqs: list[int] = []
        for count, message in enumerate(client.jobs.follow(number)):
            if count in (1, 4, 9):
                line.go_down()
            if isinstance(message, JobLines):
                lines += message.lines
            elif isinstance(message, JobEvent):
                seqs.append(message.seq)
    assert [text.split(": ")[1] for text in lines] == [f"line {step}" for step in range(80)]
    assert seqs == [entry.seq for entry in service.client().jobs.get(number).history]
    with pytest.raises(InputError, match="no job with that number"):
        next(service.client().jobs.follow(99999))


def test_the_stream_of_all_jobs_comes_through_the_client(service: Running) -> None:
    client = service.client()
    seen: list[str] = []
    listening = threading.Event()

    def listen() -> None:
        for message in client.jobs.stream():
            listening.set()
            if isinstance(message, JobEvent) and message.subject == "seen":
                seen.append(message.what)
                if message.final:
                    return

    reader = threading.Thread(target=listen, daemon=True)
    reader.start()
    assert listening.wait(30)
    client.jobs.start(JobRequest(kind="quick", subject="seen"))
    reader.join(30)
    assert seen == ["requested", "started, attempt 1", "done"]
