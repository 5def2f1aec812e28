"""Jobs: long work of the service, such as rebuilding an index; what they report, and the events of their streams."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter

from core.api_schema.base import ONE_VISIBLE_LINE, VISIBLE_LINES, RequestModel, ResponseModel, Slug, Timestamp
from core.open_enum import OpenEnum

Subject = Annotated[str, Field(max_length=200), ONE_VISIBLE_LINE]


class JobState(OpenEnum):
    """QUEUED → RUNNING → one of DONE, FAILED, CANCELLED, CRASHED, as of every operation."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CRASHED = "crashed"

    @property
    def live(self) -> bool:
        """Whether the job has not ended. An unknown state counts as live, so that nobody takes it for an outcome."""
        return self in (JobState.QUEUED, JobState.RUNNING) or not self.is_known


class JobPriority(OpenEnum):
    """Which queued jobs run first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class JobRequest(RequestModel):
    """A job to start."""

    kind: Slug
    """index, banks, rollback, …: `GET /jobs/kinds` lists them."""
    subject: Subject = ""
    """What it works on: `normal` or `defect` for index; a product, or "" for all, for banks."""
    options: dict[str, JsonValue] = {}
    """Of the kind; plain values, never a secret."""
    priority: JobPriority = JobPriority.NORMAL


class JobFailure(ResponseModel):
    """Why a job failed, in the three sentences of every error."""

    what: Annotated[str, VISIBLE_LINES]
    why: Annotated[str, VISIBLE_LINES] = ""
    remedy: Annotated[str, VISIBLE_LINES] = ""


class JobStage(ResponseModel):
    """One step of a job. A stage with a `parent` is a part of it, such as one product."""

    id: str
    title: Annotated[str, ONE_VISIBLE_LINE]
    state: str = "waiting"
    """waiting, running, done, cached, failed or cancelled."""
    done: float = 0
    """In `unit`."""
    total: float = 0
    """In `unit`; 0 when unknown."""
    unit: str = ""
    detail: Annotated[str, ONE_VISIBLE_LINE] = ""
    started: float = 0
    """Unix time in seconds, 0 for not yet; so is `ended`."""
    ended: float = 0
    parent: str = ""


class JobHistoryEntry(ResponseModel):
    """One entry in the history of a job: requested, started, tried again, cancelled, ended."""

    seq: int
    """Grows with every entry of all jobs; never used twice."""
    at: Timestamp
    what: Annotated[str, ONE_VISIBLE_LINE]
    by: Annotated[str, ONE_VISIBLE_LINE] = ""
    """Who asked for it, and from where; empty when nobody did."""


class Job(ResponseModel):
    """One job."""

    id: int
    kind: str
    subject: str
    key: str
    """Only one live job holds a key."""
    options: dict[str, JsonValue] = {}
    state: JobState
    priority: JobPriority = JobPriority.NORMAL
    resources: list[str] = []
    """What it needs for itself, such as `cpu` or `gpu:0`."""
    why_queued: Annotated[str, ONE_VISIBLE_LINE] = ""
    """Why it does not run yet; empty unless it is queued."""
    attempt: int = 0
    """How often it was started."""
    created: Timestamp
    started: Timestamp | None = None
    ended: Timestamp | None = None
    seconds: float = 0
    """Time worked."""
    by: Annotated[str, ONE_VISIBLE_LINE] = ""
    cancel_requested: bool = False
    result: dict[str, JsonValue] | None = None
    """What came out; `findings` in it, only of a single job, lists what is wrong with the input."""
    failure: JobFailure | None = None
    stages: list[JobStage] = []
    """Only of a single job, not in lists."""
    history: list[JobHistoryEntry] = []
    """Only of a single job, not in lists."""

    @property
    def title(self) -> str:
        """Kind and subject, as in `banks bottle`."""
        return f"{self.kind} {self.subject}".strip()


class JobFilter(RequestModel):
    """A filter for jobs. A job must match every field that is set."""

    kind: Slug | None = None
    state: JobState | None = None
    subject: Subject | None = None
    since: Timestamp | None = None
    """Only jobs that were asked for at or after this time."""
    until: Timestamp | None = None
    """Only jobs that were asked for before this time."""


class JobQuery(JobFilter):
    """A filter for pages of jobs, newest first."""

    cursor: Annotated[str, Field(max_length=100)] = ""
    """The `next` of the previous page; all other fields must stay the same."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class JobPage(ResponseModel):
    """A page of jobs, newest first."""

    jobs: list[Job]
    next: str = ""
    """The cursor of the following page; empty: this is the last one."""


class JobKind(ResponseModel):
    """A kind of job that this service knows."""

    kind: str
    about: str
    subjects: str
    """What its subject may be, in words."""
    resources: list[str] = []
    options: dict[str, str] = {}
    """What each option does, by its name."""


class JobLog(ResponseModel):
    """A part of a job's log."""

    lines: list[str]
    next: int
    """The `offset` of what follows."""
    end: bool = False
    """Whether the job has ended and no more lines follow."""


# -- the streams ---------------------------------------------------------------------------------------------------


class JobEvent(ResponseModel):
    """A stored event: an entry of a job's history, and the job's state after it."""

    type: Literal["event"] = "event"
    seq: int
    at: Timestamp
    job: int
    kind: str
    subject: str
    state: JobState
    what: Annotated[str, ONE_VISIBLE_LINE]
    by: Annotated[str, ONE_VISIBLE_LINE] = ""
    final: bool = False
    """Whether the job ended with it, and has not been started again since."""
    failure: JobFailure | None = None
    result: dict[str, JsonValue] | None = None


class JobSnapshot(ResponseModel):
    """The current state of a job with its stages; sent on connection and when something changed. It has no `seq`."""

    type: Literal["snapshot"] = "snapshot"
    job: Job


class JobLines(ResponseModel):
    """New lines of a job's log; only in the stream of one job. It has no `seq`."""

    type: Literal["lines"] = "lines"
    job: int
    lines: list[str]
    next: int
    """The offset of what follows, as in `JobLog`."""


class JobHeartbeat(ResponseModel):
    """The stream is alive. It has no `seq`."""

    type: Literal["heartbeat"] = "heartbeat"
    at: Timestamp


class JobResync(ResponseModel):
    """Events after the given `after` are no longer kept: read `GET /jobs`, then continue after `seq`."""

    type: Literal["resync"] = "resync"
    seq: int


JobMessage = Annotated[JobEvent | JobSnapshot | JobLines | JobHeartbeat | JobResync, Field(discriminator="type")]
"""The envelope of both streams."""
JOB_MESSAGE: TypeAdapter[JobEvent | JobSnapshot | JobLines | JobHeartbeat | JobResync] = TypeAdapter(JobMessage)
