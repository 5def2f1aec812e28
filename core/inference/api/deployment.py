"""Short routes to rebuild indexes and memory banks, for web pages that know only these; `/jobs` has more."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response

from core.api_schema import DeploymentRequest, DeploymentTask, Job, JobQuery, JobRequest, JobState, Role
from core.inference.api.access import Service, require_jobs_role
from core.inference.api.jobs import Asker, Asking, announce
from core.inference.api.threads import JOBS, routes_in
from core.inference.jobs.service import JobService, UnknownJob

router = APIRouter(prefix="/api/admin/deployment", tags=["deployment"], route_class=routes_in(JOBS))

KINDS: dict[str, Literal["clip", "patchcore"]] = {"index": "clip", "banks": "patchcore"}
NEWEST_TASKS = 10  # of each kind
LAST_LINES = 20

TaskId = Annotated[str, Path(pattern="^[1-9][0-9]{0,14}$")]


@router.post("/clip/{index}", status_code=202, **require_jobs_role(Role.ADMIN, 409))
def rebuild_index(
    response: Response, service: Service, asker: Asking, index: Literal["normal", "defect"]
) -> DeploymentTask:
    """Rebuild an index. 409 if that is under way."""
    return _start(response, service.jobs, asker, JobRequest(kind="index", subject=index))


@router.post("/patchcore", status_code=202, **require_jobs_role(Role.ADMIN, 409))
def rebuild_banks(
    response: Response, service: Service, asker: Asking, body: DeploymentRequest | None = None
) -> DeploymentTask:
    """Rebuild the memory bank of a product, or of all. 409 if that is under way."""
    subject = (body.product if body else None) or ""
    return _start(response, service.jobs, asker, JobRequest(kind="banks", subject=subject))


@router.get("/status/{task_id}", **require_jobs_role(Role.ADMIN, 404))
def status(service: Service, task_id: TaskId) -> DeploymentTask:
    """The current state of a task."""
    job = service.jobs.get(int(task_id))
    if job.kind not in KINDS:
        raise UnknownJob(f"Task {task_id}", f"job {task_id} is of kind {job.kind}", "see GET /jobs")
    return _task(job)


@router.get("/logs", **require_jobs_role(Role.ADMIN))
def logs(service: Service) -> list[DeploymentTask]:
    """The newest tasks, newest first, with the last lines of their logs."""
    jobs = [job for kind in KINDS for job in service.jobs.page(JobQuery(kind=kind, limit=NEWEST_TASKS)).jobs]
    tasks: list[DeploymentTask] = []
    for job in sorted(jobs, key=lambda job: job.id, reverse=True):
        with suppress(UnknownJob):  # it was removed from the history in the meantime
            tasks.append(_with_lines(service.jobs, _task(service.jobs.get(job.id))))
    return tasks


def _start(response: Response, jobs: JobService, asker: Asker, request: JobRequest) -> DeploymentTask:
    task = _task(jobs.request(request, asker.by, asker.key))
    announce(response, f"{router.prefix}/status/{task.task_id}")
    return task


def _with_lines(jobs: JobService, task: DeploymentTask) -> DeploymentTask:
    return task.model_copy(update={"lines": jobs.last_log_lines(int(task.task_id), LAST_LINES)})


def _task(job: Job) -> DeploymentTask:
    return DeploymentTask(
        task_id=str(job.id),
        status=job.state.value,
        kind=KINDS[job.kind],
        subject=job.subject,
        progress=1.0 if job.state is JobState.DONE else _progress(job),
        message=_message(job),
        result=job.result,
    )


def _progress(job: Job) -> float:
    """The share of the known steps that is done, 0 to 1."""
    steps = [stage for stage in job.stages if not stage.parent]
    shares = [
        1.0 if stage.state in ("done", "cached") else min(stage.done / stage.total, 1.0) if stage.total else 0.0
        for stage in steps
    ]
    return round(sum(shares) / len(shares), 3) if shares else 0.0


def _message(job: Job) -> str:
    if job.failure:
        return f"{job.failure.what}: {job.failure.why}" if job.failure.why else job.failure.what
    running = [stage for stage in job.stages if stage.state == "running"]
    if running and job.state.live:
        return f"{running[-1].title} {running[-1].detail}".strip()
    return job.why_queued
