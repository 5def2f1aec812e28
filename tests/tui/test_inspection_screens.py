"""Products and Jobs: what they show of a service that works, is older, or whose storage is silent; what they ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from textual.pilot import Pilot

from core.api_schema import Job, JobLog, JobPage, JobQuery, JobState, Products, Role
from core.api_schema.base import LENIENT, VERSION_HEADER
from core.errors import InputError, XaivaError
from core.service_client import LoginIdentity, ServiceAddress
from core.site import Site
from tests.tui import sample, sample_inspection
from tests.tui.sample_service import SampleService
from tests.tui.support import settled, shows, text, until
from tests.tui.test_service_trouble import answering, at
from tui.actions import ACTIONS, ROLES
from tui.app import XaivaApp
from tui.inspection_sources import JobFeed
from tui.job_log import FollowedJobLog
from tui.navigation import SCREENS

NOT_FOUND = '{"what": "Request", "why": "Not Found", "remedy": "see /openapi.json"}'
OLDER = "older than products and jobs"


class OtherSources(sample.SampleSources):
    """The sample's sources with other answers."""

    def __init__(self, site: Site, answers: dict[str, Any]) -> None:
        super().__init__(site)
        self._answers = answers

    def fetchers(self) -> dict[str, tuple[Callable[[], Any], float]]:
        return {**super().fetchers(), **{name: (partial_of(value), 3600.0) for name, value in self._answers.items()}}


def partial_of(value: Any) -> Callable[[], Any]:
    return lambda: value


@asynccontextmanager
async def screen(
    site: Site, name: str, size: tuple[int, int] = (160, 45), read_only: bool = False, **answers: Any
) -> AsyncIterator[Pilot[int]]:
    """The screen of that name over the sample, some of whose sources answer something else."""
    parts = replace(sample.PARTS, sources=lambda site: OtherSources(site, answers))  # type: ignore[arg-type,return-value]
    app = XaivaApp(site, read_only, parts=parts)
    async with app.run_test(size=size, notifications=True) as pilot:
        await pilot.press(*SCREENS[name].keys)
        await until(pilot, lambda: app.current_mode == name and app.screen.is_mounted)
        await settled(pilot)
        yield pilot


async def test_counts_are_unknown_with_the_reason_while_the_storage_is_silent(bare_site: Site) -> None:
    listed = sample_inspection.products_without_storage()
    async with screen(bare_site, "products", products=listed) as pilot:
        await shows(pilot, "storage does not answer")
        await pilot.press("down", "down")
        await shows(pilot, "? / ?")
        await shows(pilot, "? s3.line-3.example.org: connection")
        assert "0 / 0" not in text(pilot)
        assert "0 in normal/bottle/" not in text(pilot)


async def test_a_service_without_products_says_what_to_do(bare_site: Site) -> None:
    async with screen(bare_site, "products", products=Products(products=[])) as pilot:
        await shows(pilot, "no products yet: put pictures into normal/NAME/ in the storage")


async def test_an_older_service_is_named_and_the_overview_stays_quiet(bare_site: Site) -> None:
    with answering(404, NOT_FOUND, **{VERSION_HEADER: "3"}) as url:
        app = XaivaApp(at(bare_site, url))
        async with app.run_test(size=(120, 40)) as pilot:
            for name in ("products", "jobs"):
                await pilot.press(*SCREENS[name].keys)
                await shows(pilot, OLDER)
            await pilot.press("1")
            await until(pilot, lambda: app.store.reading("recent_jobs").error is not None)
            app.tick()
            await pilot.pause()
            assert OLDER not in text(pilot)


async def test_products_and_jobs_are_asked_only_while_they_are_shown(bare_site: Site) -> None:
    async with screen(bare_site, "jobs") as pilot:
        sources = pilot.app.store._sources  # type: ignore[attr-defined]
        assert sources["jobs"].watched
        assert sources["job"].watched
        assert sources["jobs"].interval == 1.0  # a job is live
        await pilot.press("5")
        names = ("jobs", "job", "products", "inspections", "recent_jobs")
        await until(pilot, lambda: sources["containers"].watched and not any(sources[name].watched for name in names))


async def test_the_jobs_are_asked_less_often_when_none_is_live(bare_site: Site) -> None:
    ended = [job for job in sample_inspection.jobs().jobs if not job.state.live]
    listed = replace(sample_inspection.jobs(), jobs=ended)
    async with screen(bare_site, "jobs", jobs=listed) as pilot:
        assert pilot.app.store._sources["jobs"].interval == 3.0  # type: ignore[attr-defined]


async def test_jobs_whose_numbers_cannot_be_read_are_shown_all_the_same(bare_site: Site) -> None:
    foreign = [
        Job.model_validate({"id": name, "kind": "index", "subject": name, "state": "done"}, context=LENIENT)
        for name in ("first", "second")
    ]
    listed = replace(sample_inspection.jobs(), jobs=foreign)
    async with screen(bare_site, "jobs", jobs=listed) as pilot:
        await pilot.press("down")
        await until(pilot, lambda: pilot.app.screen.choices.key == "0 #1")  # type: ignore[attr-defined]
        await pilot.press("up")
        await shows(pilot, "✓ done  index first")


async def test_a_job_that_waits_says_what_for_and_one_that_runs_shows_its_parts(bare_site: Site) -> None:
    async with screen(bare_site, "jobs") as pilot:
        await shows(pilot, "waits for 900 MB on cuda:0; used by camera hall, camera gate-1")
        await pilot.press("down", "down")
        await shows(pilot, "1200 of 2048 patches")
        await shows(pilot, "coreset: 1200 of 2048 patches")
        await pilot.press("u")
        await until(pilot, lambda: "index defect" not in text(pilot))


async def test_two_jobs_are_compared_stage_by_stage(bare_site: Site) -> None:
    before, after = (
        sample_inspection.with_stages(job)
        for job in sample_inspection.jobs().jobs
        if job.kind == "banks" and not job.subject
    )
    both: list[Job] = [after, before]
    async with screen(bare_site, "jobs", job=both) as pilot:
        await pilot.press("down", "down", "m")
        await shows(pilot, "Job 43 compared with job 41")
        await shows(pilot, "42.0 s")
        await pilot.press("m")
        await shows(pilot, "Job 43")
        await until(pilot, lambda: "compared" not in text(pilot))


async def test_a_job_that_is_started_again_keeps_the_name_of_its_product(bare_site: Site) -> None:
    failed = sample_inspection.job(50, "banks", "screw M4", JobState.FAILED, 100, 5)
    listed = replace(sample_inspection.jobs(), jobs=[failed])
    async with screen(bare_site, "jobs", jobs=listed) as pilot:
        await pilot.press("r")
        await shows(pilot, "Start banks screw M4 again")


async def test_a_read_only_console_changes_no_job(bare_site: Site) -> None:
    async with screen(bare_site, "jobs", read_only=True) as pilot:
        await shows(pilot, "index defect")
        await pilot.press("c", "r")
        assert len(pilot.app.screen_stack) == 1
        assert "Cancel" not in text(pilot)


def test_every_action_that_changes_something_at_the_service_has_a_role() -> None:
    screens = ("cameras", "events", "service", "products", "jobs")
    changes = {action.id for action in ACTIONS if action.changes and action.screen in screens}
    changes -= {"events.clip", "events.export"}  # which write a file here
    assert set(ROLES) == changes | {"overview.step('camera')"}


@pytest.mark.parametrize(
    ("role", "products", "jobs"),
    [(Role.VIEWER, "", ""), (Role.OPERATOR, "ndbBrc", "cr"), (Role.ADMIN, "ndbBrtc", "cr")],
)
async def test_a_login_hides_what_its_role_may_not_do(bare_site: Site, role: Role, products: str, jobs: str) -> None:
    login = LoginIdentity("vera", "", False, role)
    for name, keys, some in (("products", products, "ndbBrtc"), ("jobs", jobs, "cr")):
        async with screen(bare_site, name, login=login) as pilot:
            await pilot.press("down", "down")
            await until(pilot, lambda: pilot.app.who == login)  # type: ignore[attr-defined]
            works = [key for key in some if key in pilot.app.screen.active_bindings]
            assert "".join(works) == keys
            bar = text(pilot).splitlines()[-1]
            assert ("Roll back" in bar or "Retry" in bar) is bool(keys)


async def test_a_product_leads_to_its_newest_job_and_back(bare_site: Site) -> None:
    async with screen(bare_site, "products") as pilot:
        app = pilot.app
        await pilot.press("down", "down", "o")
        await until(pilot, lambda: app.current_mode == "jobs")
        await until(pilot, lambda: app.screen.query_one("#choices").key == "44")  # type: ignore[attr-defined]
        await pilot.press("o")
        await until(pilot, lambda: app.current_mode == "products")
        await until(pilot, lambda: app.screen.query_one("#choices").key == "product:bottle")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("wanted", "listed"), [(0, 50), (160, 50), (120, 100), (3, 200), (7000, 50)])
def test_the_list_of_jobs_reaches_back_to_one_that_is_wanted(wanted: int, listed: int) -> None:
    all_jobs = [sample_inspection.job(number, "index", "normal", JobState.DONE, 0, 5) for number in range(200, 0, -1)]

    def page(query: JobQuery) -> JobPage:
        return JobPage(jobs=all_jobs[: query.limit], next="older" if query.limit < len(all_jobs) else "")

    client = SimpleNamespace(jobs=SimpleNamespace(page=page))
    feed = JobFeed(lambda work: work(client), JobQuery(), wanted)
    for _ in range(2):  # it stays so
        assert len(feed().jobs) == listed
    feed.load_more()
    assert len(feed().jobs) == min(listed + 50, 200)


async def test_the_newest_inspection_is_shown_until_another_is_chosen(bare_site: Site) -> None:
    async with screen(bare_site, "products") as pilot:
        await pilot.press("down", "down")
        await shows(pilot, "defect 0.87")
        await pilot.press("i", "down", "down", "down")
        await shows(pilot, "corrected to normal by ana")
        await shows(pilot, "a drop of water")


async def test_another_service_shows_the_log_of_its_own_job_of_the_same_number(bare_site: Site) -> None:
    async with screen(bare_site, "jobs") as pilot:
        app: Any = pilot.app
        await pilot.press("down", "down")
        await shows(pilot, "coreset: 1200 of 2048 patches")
        other = SampleService()
        lines = ["12:03:00 of the other service"]
        other.jobs.log = lambda _, offset: JobLog(lines=lines[offset:], next=1, end=True)  # type: ignore[method-assign]
        app.parts = replace(app.parts, service=other)
        app.service_address = ServiceAddress("http://10.0.0.2:8600")
        app.tick()
        await shows(pilot, "of the other service")
        assert "coreset: 1200 of 2048 patches" not in text(pilot)


def test_a_log_is_read_on_from_its_offset_after_an_outage() -> None:
    """The second answer is an error, and the log goes on where it was."""
    asked: list[int] = []

    def read(offset: int) -> JobLog:
        asked.append(offset)
        if len(asked) == 2:
            raise XaivaError("Inference service", "the connection broke")
        return JobLog(lines=[f"12:00:0{offset} list: line {offset}"], next=offset + 7, end=offset == 7)

    log = FollowedJobLog(read, lambda: False)
    log.thread.join(20)
    assert asked == [0, 7, 7]
    assert log.lines.read(0, 9) == [
        "12:00:00\t\tlist: line 0",
        "[Inference service: the connection broke; trying again]",
        "12:00:07\t\tlist: line 7",
    ]


def test_the_log_of_a_job_that_is_gone_ends_with_the_reason() -> None:
    def read(_offset: int) -> JobLog:
        raise InputError("Job 7", "there is no such job", "xaiva job list")

    log = FollowedJobLog(read, lambda: False)
    log.thread.join(20)
    assert log.lines.read(0, 9) == ["[Job 7: there is no such job]"]
