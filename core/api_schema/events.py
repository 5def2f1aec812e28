"""Events: detection, analysis, outcome of the flow, acknowledgement."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from core.api_schema.base import (
    ONE_VISIBLE_LINE,
    VISIBLE_LINES,
    CameraId,
    Day,
    RequestModel,
    ResponseModel,
    Slug,
    StrictBool,
    Timestamp,
)
from core.open_enum import OpenEnum

MAX_STATISTICS_DAYS = 400  # days in one answer


class Priority(OpenEnum):
    """How urgent; HIGH and CRITICAL are written to the database at once."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for LOW to 3 for CRITICAL; one that is not known comes above them all, so that nothing drops its event."""
        return list(Priority).index(self) if self.is_known else len(Priority)

    @classmethod
    def of_rank(cls, rank: int) -> Priority:
        """The priority of a rank, which a newer service may have written into the database."""
        return list(cls)[rank] if 0 <= rank < len(cls) else cls(f"rank {rank}")


class AnalysisState(OpenEnum):
    """Where the analyser's answer is. NONE: nobody asked for one."""

    NONE = "none"
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class Analysis(ResponseModel):
    """What the analyser says. `backend` names what answered, `why` why there is no answer; `seconds` it took."""

    state: AnalysisState = AnalysisState.NONE
    description: Annotated[str, VISIBLE_LINES] = ""
    confidence: float | None = None
    backend: str = ""
    seconds: float | None = None
    why: str = ""


class Fact(ResponseModel):
    """One thing a detector found in the snapshot: `box` is x1, y1, x2, y2 in shares of the picture."""

    label: Annotated[str, ONE_VISIBLE_LINE]
    score: float
    box: tuple[float, float, float, float]


class ActionResult(ResponseModel):
    """One step of the agent flow: `state` is done, failed or skipped, `detail` a sentence, `seconds` it took."""

    step: str
    state: str
    detail: str = ""
    seconds: float = 0
    at: Timestamp


class Clip(ResponseModel):
    """The recorded clip: `state` is none, recording, done or failed."""

    state: str = "none"
    seconds: float = 0
    bytes: int = 0
    why: str = ""


class Event(ResponseModel):
    """One anomaly. `id` is a UUIDv7 as text: ids sort by time.

    `type` is the detector's word until the analyser says more. `started` is when the score first crossed, `decided`
    when it had lasted long enough, `ended` None while it goes on.
    `score` is the peak. `response_time` are the seconds from `decided` to the end of the agent flow.
    """

    id: str
    camera: str
    camera_name: Annotated[str, ONE_VISIBLE_LINE] = ""
    type: str
    priority: Priority = Priority.NORMAL
    started: Timestamp
    decided: Timestamp
    ended: Timestamp | None = None
    score: float
    threshold: float = 0
    detector: str = ""
    zone: str = ""
    snapshot: bool = False
    clip: Clip = Clip()
    analysis: Analysis = Analysis()
    facts: list[Fact] = []
    actions: list[ActionResult] = []
    response_time: float | None = None
    protected: bool = False
    acknowledged: Timestamp | None = None
    acknowledged_by: str = ""
    note: Annotated[str, VISIBLE_LINES] = ""


class EventQuery(RequestModel):
    """Which events, in what order, and where to go on. All that is named must fit; `text` is looked for in words.

    `since` and `until` bound `started`: from, and up to but not including. `cursor` is a page's `next`; all else must
    then be as it was for that page.
    """

    camera: CameraId | None = None
    type: Slug | None = None
    priority: Priority | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None
    minimum_score: Annotated[float, Field(ge=0, le=1)] | None = None
    acknowledged: bool | None = None
    text: Annotated[str, Field(max_length=200)] = ""
    sort: Literal["time", "score"] = "time"
    ascending: bool = False
    cursor: Annotated[str, Field(max_length=500)] = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class EventPage(ResponseModel):
    """Some events, newest first unless asked otherwise; `next` is the cursor of the following page, empty if none."""

    events: list[Event]
    next: str = ""


class Acknowledge(RequestModel):
    """Acknowledge these events."""

    ids: Annotated[list[str], Field(min_length=1, max_length=1000)]
    note: Annotated[str, VISIBLE_LINES, Field(max_length=2000)] = ""


class Acknowledged(ResponseModel):
    """How many were acknowledged now; those that had been before do not count."""

    count: int


class Protect(RequestModel):
    """Keep an event's clip and snapshot when others must go."""

    protected: StrictBool


class StatisticsQuery(RequestModel):
    """Which days in the service's zone, `last` included (at most 400); by default the 7 up to today."""

    first: Day | None = None
    last: Day | None = None
    camera: CameraId | None = None

    @model_validator(mode="after")
    def _some_days(self) -> Self:
        for day in (self.first, self.last):
            if day is not None and not 1970 <= day.year <= 9000:
                raise ValueError("a day lies between 1970 and 9000")
        if self.first and self.last and not 0 <= (self.last - self.first).days < MAX_STATISTICS_DAYS:
            raise ValueError(f"last is not before first, and at most {MAX_STATISTICS_DAYS} days are told at once")
        return self


class DayStatistics(ResponseModel):
    """One camera's day in the zone of the statistics; `by_hour` starts at midnight there: 23, 24 or 25 entries."""

    date: date
    camera: str
    events: int = 0
    acknowledged: int = 0
    by_type: dict[str, int] = {}
    by_priority: dict[str, int] = {}
    by_hour: list[int] = []
    highest_score: float | None = None
    mean_response: float | None = None


class Statistics(ResponseModel):
    """Days, oldest first, in the named zone."""

    zone: str
    days: list[DayStatistics]


class LoggerStatus(ResponseModel):
    """The event logger: `waiting` records on disk that the database does not have yet, the oldest one's age in seconds.

    `state` is ok, behind (the database is down, locked or full: `why`), or failing (the disk refuses).
    """

    state: str = "ok"
    why: str = ""
    waiting: int = 0
    oldest: float | None = None
    logged: int = 0
    written: int = 0
