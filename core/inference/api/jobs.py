"""Jobs over HTTP: start, list, show, cancel, try again, export."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from core.api_schema import Job, JobFilter, JobKind, JobLog, JobPage, JobQuery, JobRequest, Role
from core.inference.api.access import CurrentCaller, ResponseDocs, Service, require_jobs_role
from core.inference.api.threads import JOB_STREAMS, JOBS, ResponseLimit, routes_in, run_in
from core.inference.auth import Caller
from core.inference.jobs import export
from core.inference.jobs.service import MAX_LOG_LINES

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=routes_in(JOBS))

RETRY_SECONDS = 1  # when to look at a new job again
MAX_ID = 2**53 - 1  # numbers in JavaScript

JobId = Annotated[int, Path(ge=1, le=MAX_ID)]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", pattern="^[!-~]{1,200}$")]

OPEN_EXPORTS = ResponseLimit("Exports of jobs", 4)


def requester(request: Request, caller: Caller) -> str:
    """Who asks, and from where, as the history of a job keeps it."""
    address = request.client.host if request.client else ""
    return f"{caller.name} from {address}" if address else caller.name


@dataclass(frozen=True)
class Asker:
    """Who asks for a job and from where, and a key that makes a repetition start nothing; empty: none."""

    by: str
    key: str


async def get_asker(request: Request, caller: CurrentCaller, key: IdempotencyKey = None) -> Asker:
    """Who asks for a job, and the key of the request."""
    return Asker(requester(request, caller), f"{caller.name}:{key}" if key else "")


Asking = Annotated[Asker, Depends(get_asker)]


def announce(response: Response, location: str) -> None:
    """Say where the job that was accepted can be followed, and when to look."""
    response.headers["Location"] = location
    response.headers["Retry-After"] = str(RETRY_SECONDS)


@router.post("", status_code=202, **require_jobs_role(Role.OPERATOR, 409))
def start(response: Response, service: Service, asker: Asking, body: JobRequest) -> Job:
    """Start a job, or queue it. `Location` names it. 409 if a live job does the same; its `Location` names that one.

    With an `Idempotency-Key`, the same request again returns the same job, whatever has become of it.
    """
    job = service.jobs.request(body, asker.by, asker.key)
    announce(response, f"/jobs/{job.id}")
    return job


@router.get("", **require_jobs_role(Role.VIEWER))
def jobs(service: Service, query: Annotated[JobQuery, Query()]) -> JobPage:
    """A page of jobs, newest first. `next` is the `cursor` of the following page."""
    return service.jobs.page(query)


@router.get("/kinds", **require_jobs_role(Role.VIEWER))
def kinds(service: Service) -> list[JobKind]:
    """The kinds of jobs, with their subjects and options."""
    return service.jobs.kind_list()


class ExportQuery(JobFilter):
    """Which jobs, and the format."""

    format: Literal["csv", "json"] = "json"


class _Export(StreamingResponse):
    """An export while there are not too many. 429 otherwise."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with OPEN_EXPORTS.slot():
            await super().__call__(scope, receive, send)


_EXPORT_DOCS: ResponseDocs = {
    200: {
        "description": "The jobs",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}


@router.get("/export", response_class=Response, **require_jobs_role(Role.VIEWER, content=_EXPORT_DOCS))
async def export_jobs(service: Service, query: Annotated[ExportQuery, Query()]) -> Response:
    """All jobs that match, newest first, with stages and history: as CSV or JSON."""
    is_csv = query.format == "csv"
    pages = service.jobs.all(query)
    parts = export.csv_parts(pages) if is_csv else export.json_parts(pages)

    async def content() -> AsyncIterator[str]:
        while (part := await run_in(JOB_STREAMS, lambda: next(parts, None))) is not None:
            yield part

    headers = {"Content-Disposition": f'attachment; filename="jobs.{query.format}"'}
    return _Export(content(), media_type="text/csv" if is_csv else "application/json", headers=headers)


@router.get("/{job}", **require_jobs_role(Role.VIEWER, 404))
def show(service: Service, job: JobId) -> Job:
    """A job with its stages and its history."""
    return service.jobs.get(job)


@router.get("/{job}/log", **require_jobs_role(Role.VIEWER, 404))
def log(
    service: Service,
    job: JobId,
    offset: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LOG_LINES)] = 1000,
) -> JobLog:
    """Lines of a job's log from `offset` on. `next` is the `offset` of what follows."""
    return service.jobs.log(job, offset, limit)


@router.post("/{job}/cancel", **require_jobs_role(Role.OPERATOR, 404))
def cancel(request: Request, service: Service, caller: CurrentCaller, job: JobId) -> Job:
    """Cancel a job, which takes a second at most. One that has ended stays as it is."""
    return service.jobs.cancel(job, requester(request, caller))


@router.post("/{job}/retry", status_code=202, **require_jobs_role(Role.OPERATOR, 404, 409))
def retry(request: Request, response: Response, service: Service, caller: CurrentCaller, job: JobId) -> Job:
    """Start a job again that failed, crashed or was cancelled. 409 for any other, or if a live job does the same."""
    announce(response, f"/jobs/{job}")
    return service.jobs.retry(job, requester(request, caller))
