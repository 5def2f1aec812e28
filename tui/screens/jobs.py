"""Jobs of the inference service: queue, progress, log and history; cancel, start again, compare."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from core.api_schema import Job, JobQuery, JobState
from tui.actions import bindings
from tui.formatters import jobs as job_format
from tui.formatters.cells import wrap
from tui.inspection_sources import MAX_JOBS, JobFeed, JobList, jobs_by_id
from tui.job_log import FollowedJobLog
from tui.screens.base import ListScreen
from tui.sources import LIVE_SECONDS, MANUAL_SECONDS, not_targeted_yet
from tui.widgets.choice_list import ChoiceRow
from tui.widgets.log_panel import LogPanel
from tui.widgets.panel import Formatter, empty_content

if TYPE_CHECKING:
    from core.service_client import ServiceAddress


class JobsScreen(ListScreen):
    """The jobs that match the filter, newest first; beside them the stages and the log of the one under the cursor."""

    NAME = "jobs"
    SOURCE = "jobs"
    SOURCES = ("jobs", "job")
    LOGIN_SOURCE = "jobs"
    TITLE = "Jobs"
    COLUMNS = job_format.COLUMNS
    EMPTY = "no jobs yet: rebuild an index or a memory bank on Products"
    LOG = "Log"
    NAME_CELLS = 2
    BINDINGS: ClassVar[list[Any]] = bindings("jobs", "list")

    def __init__(self) -> None:
        super().__init__()
        self._query = JobQuery()
        self._only_live = False
        self._feed: JobFeed | None = None
        self._log: FollowedJobLog | None = None
        self._log_of: ServiceAddress | None = None  # the service that it was asked of first
        self._compared = 0  # the job that the one under the cursor is compared with, 0 for none

    # -- what is shown -------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._set_query(self._query)
        super().on_mount()

    def _set_query(self, query: JobQuery, including: int = 0) -> None:
        self._query = query
        self._feed = JobFeed(self.console.ask_service, query, including)
        self.console.store.retarget("jobs", self._feed)
        self.choices.unmark()

    def rows(self, value: JobList) -> list[ChoiceRow]:
        jobs = [job for job in value.jobs if job.state.live or not self._only_live]
        if value.jobs and not jobs:
            self.choices.empty = "no job is running or waiting: press u to show all"
        return [ChoiceRow(str(job.id), job_format.row(job), job) for job in jobs]

    def feed(self) -> None:
        """The list with its filter and the details; asked more often while a job is live."""
        words = job_format.filter_text(self._query)
        self.EMPTY = "no job matches the filter: press f to change it" if words else type(self).EMPTY  # type: ignore[misc]
        super().feed()
        listed: JobList | None = self.reading("jobs").value
        newest = f"the newest {MAX_JOBS}" if listed and len(listed.jobs) >= MAX_JOBS else ""
        title = " · ".join(word for word in (self.TITLE, words, newest, "live" if self._only_live else "") if word)
        if self.choices.border_title != title:
            self.choices.border_title = title
        if self._log is not None and self._log_of != self.console.service_address:
            self.row_changed()  # the same number is another job in another service
        self._set_pace()

    def _set_pace(self) -> None:
        listed: JobList | None = self.reading("jobs").value
        is_live = listed is not None and any(job.state.live for job in listed.jobs)
        for source in self.SOURCES:
            self.console.store.set_interval(source, LIVE_SECONDS if is_live else MANUAL_SECONDS)

    def point_sources(self) -> None:
        """Ask for the job under the cursor, and for the one that it is compared with."""
        job = self.selected()
        ids = [number for number in (self._compared, job.id if job else 0) if number]
        fetch = partial(jobs_by_id, self.console.ask_service, ids) if ids else not_targeted_yet
        self.console.store.retarget("job", fetch)

    def row_changed(self) -> None:
        """Show the log of the job, and no comparison any more; at the end of the list, load the next page."""
        if self._compared:
            self._compared = 0
            self.point_sources()
        self._follow_log()
        listed: JobList | None = self.reading("jobs").value
        if listed is not None and listed.more and self._feed and self.choices.key == str(listed.jobs[-1].id):
            self._feed.load_more()
            self.console.store.ask_now("jobs")

    def detail(self) -> tuple[Formatter, str, str]:
        job, reading = self.selected(), self.reading("job")
        if job is None:
            return empty_content, "", ""
        if reading.value is None and reading.error is not None:
            return partial(job_format.detail, job, self.console.parts.now()), *reading.state
        jobs: list[Job] = reading.value or []
        if self._compared:
            both = partial(job_format.comparison_lines, jobs[0], jobs[1]) if len(jobs) == 2 else empty_content
            return both, *reading.state
        whole = next((one for one in jobs if one.id == job.id), job)
        return partial(job_format.detail, whole, self.console.parts.now()), *reading.state

    def show_detail(self) -> None:
        super().show_detail()
        if key := self.choices.key:
            words = f"Job {key} compared with job {self._compared}" if self._compared else f"Job {key}"
            self.query_one("#detail").border_title = words

    def selected(self) -> Job | None:
        listed: JobList | None = self.reading("jobs").value
        return next((job for job in listed.jobs if str(job.id) == self.choices.key), None) if listed else None

    # -- the log -------------------------------------------------------------------------------------------------------

    def _follow_log(self) -> None:
        """Follow the log of the job under the cursor; the reader of the previous one ends."""
        self._close_log()
        job, console = self.selected(), self.console
        self._log_of = console.service_address
        if job is not None and job.id:  # a number that cannot be read is 0
            number = job.id
            self._log = FollowedJobLog(
                lambda offset: console.service.jobs.log(number, offset), lambda: console.low_bandwidth
            )
        lines = self._log.lines if self._log else None
        self.query_one("#log", LogPanel).show(lines, f"Log of job {job.id}" if job and job.id else self.LOG)

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def on_screen_suspend(self) -> None:
        """Read no log while the screen is out of view."""
        self._close_log()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self.is_mounted and self.choices.key:
            self._follow_log()

    # -- filters and comparison ----------------------------------------------------------------------------------------

    def show_row(self, key: str) -> None:
        """Also that of a job that the filter hides, or that is older than those of the list."""
        listed: JobList | None = self.reading("jobs").value
        if self._only_live:
            self.action_only_live()
        if listed is None or key not in [str(job.id) for job in listed.jobs]:
            self._set_query(JobQuery(), including=int(key))
        super().show_row(key)

    def action_filter(self) -> None:
        from tui.screens.job_filter import JobFilter

        def done(query: JobQuery | None) -> None:
            if query is not None:
                self._set_query(query)
                self.update_now()

        listed: JobList | None = self.reading("jobs").value
        jobs = listed.jobs if listed else []
        kinds, subjects = {job.kind for job in jobs}, {job.subject for job in jobs if job.subject}
        self.app.push_screen(JobFilter(self.site, self._query, sorted(kinds), sorted(subjects)), done)

    def action_only_live(self) -> None:
        self._only_live = not self._only_live
        self.update_now()

    def action_compare(self) -> None:
        """Compare with the marked job, else with the one before it of the same kind and subject; again: stop."""
        job, other = self.selected(), self._other_job()
        if self._compared:
            self._compared = 0
        elif job is None or other is None:
            self.notify("no older job of this kind and subject: mark another with space" if job else "no job selected")
            return
        else:
            self._compared = other.id
        self.point_sources()
        self.show_detail()

    def _other_job(self) -> Job | None:
        listed: JobList | None = self.reading("jobs").value
        job = self.selected()
        if job is None or listed is None:
            return None
        by_key = {str(one.id): one for one in listed.jobs if one.id != job.id}
        marked = [by_key[key] for key in reversed(self.choices.marked) if key in by_key]
        same = [one for one in listed.jobs if (one.kind, one.subject) == (job.kind, job.subject) and one.id < job.id]
        return next(iter([*marked, *same]), None)

    # -- changing ------------------------------------------------------------------------------------------------------

    def action_cancel(self) -> None:
        job = self.selected()
        if job is None or not job.state.live:
            self.notify("the job has already ended" if job else "no job selected")
            return
        text = (
            "It leaves the queue. What answers now stays."
            if job.state is JobState.QUEUED
            else "It ends within a second and publishes nothing more. What it has published already stays; start it "
            "again to continue."
        )
        work = partial(self.console.service.jobs.cancel, job.id)
        self.confirm(
            f"Cancel {job.title}, job {job.id}?",
            text,
            "Cancel it",
            lambda: self.background(work, self._show_result),
        )

    def action_retry(self) -> None:
        job = self.selected()
        if job is None or job.state.live:
            self.notify("the job has not ended yet" if job else "no job selected")
            return
        if job.state is JobState.DONE:
            self.notify("the job is done: Products (,d) starts a new one")
            return
        words = "It runs again with the same options, and takes from the finished parts what has not changed."
        work = partial(self.console.service.jobs.retry, job.id)
        self.ask_to_start(
            f"Start {job.title} again",
            "Start again",
            lambda: lambda width: wrap(words, width),
            lambda: self.background(work, self._show_result),
        )

    def _show_result(self, job: Job) -> None:
        self.choices.move_cursor_to_new(str(job.id))
        self._follow_log()  # that of a job that was started again goes on
        self.console.store.ask_now("jobs", "job")
        self.notify(f"{job.title}, job {job.id}: {job.state.word}")
