"""Events: detection, analysis, outcome of the flow, acknowledgement."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from core.api_schema.base import (
    ONE_VISIBLE_LINE,
    VISIBLE_LINES,
    CameraId,
    Day,
    RequestModel,
    ResponseModel,
    StrictBool,
    Timestamp,
)
from core.api_schema.event_types import EventType, SeenType, counts_by_type
from core.api_schema.products import ProductName
from core.open_enum import OpenEnum

MAX_STATISTICS_DAYS = 400  # days in one answer


class Priority(OpenEnum):
    """The urgency of an event. HIGH and CRITICAL events are written to the database immediately."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for LOW to 3 for CRITICAL. An unknown priority ranks highest, so that no filter drops its event."""
        return list(Priority).index(self) if self.is_known else len(Priority)

    @classmethod
    def of_rank(cls, rank: int) -> Priority:
        """The priority of a rank from the database, which a newer service may have written."""
        return list(cls)[rank] if 0 <= rank < len(cls) else cls(f"rank {rank}")


class AnalysisState(OpenEnum):
    """The state of an analysis. NONE: it was not requested."""

    NONE = "none"
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


class Analysis(ResponseModel):
    """The analyser's answer about an event."""

    state: AnalysisState = AnalysisState.NONE
    description: Annotated[str, VISIBLE_LINES] = ""
    confidence: float | None = None
    backend: str = ""
    """Which analyser answered."""
    seconds: float | None = None
    why: str = ""
    """Why there is no answer."""


class Fact(ResponseModel):
    """An object that was detected in the snapshot."""

    label: Annotated[str, ONE_VISIBLE_LINE]
    score: float
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 as fractions of the picture."""


class ActionResult(ResponseModel):
    """One step of a flow."""

    step: str
    state: str
    """done, failed or skipped."""
    detail: str = ""
    seconds: float = 0
    at: Timestamp


class Clip(ResponseModel):
    """The recorded clip of an event."""

    state: str = "none"
    """none, recording, done or failed."""
    seconds: float = 0
    bytes: int = 0
    why: str = ""


class Event(ResponseModel):
    """One anomaly at a camera."""

    id: str
    """A UUIDv7: ids sort by time."""
    camera: str
    camera_name: Annotated[str, ONE_VISIBLE_LINE] = ""
    type: SeenType
    """What was seen: one of `EVENT_TYPES` or DEFECT, until the analysis gives a more specific word."""
    priority: Priority = Priority.NORMAL
    started: Timestamp
    """When the score first crossed the threshold."""
    decided: Timestamp
    """When it had been above the threshold for long enough."""
    ended: Timestamp | None = None
    """None: it is still going on."""
    score: float
    """The highest score."""
    threshold: float = 0
    detector: str = ""
    zone: str = ""
    product: Annotated[str, ONE_VISIBLE_LINE] = ""
    """Of an inspection; empty: of a camera."""
    snapshot: bool = False
    clip: Clip = Clip()
    analysis: Analysis = Analysis()
    facts: list[Fact] = []
    actions: list[ActionResult] = []
    response_time: float | None = None
    """Seconds from `decided` to the end of the flow."""
    protected: bool = False
    acknowledged: Timestamp | None = None
    acknowledged_by: str = ""
    note: Annotated[str, VISIBLE_LINES] = ""


class EventQuery(RequestModel):
    """A filter for events, their order, and the page to return. An event must match every field that is set."""

    camera: CameraId | None = None
    type: EventType | None = None
    product: ProductName | None = None
    priority: Priority | None = None
    since: Timestamp | None = None
    """Only events that started at or after this time."""
    until: Timestamp | None = None
    """Only events that started before this time."""
    minimum_score: Annotated[float, Field(ge=0, le=1)] | None = None
    acknowledged: bool | None = None
    text: Annotated[str, Field(max_length=200)] = ""
    """Only events with this text in the type, description or note."""
    sort: Literal["time", "score"] = "time"
    ascending: bool = False
    cursor: Annotated[str, Field(max_length=500)] = ""
    """The `next` of the previous page; all other fields must stay the same."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class EventPage(ResponseModel):
    """A page of events, in the order of the query."""

    events: list[Event]
    next: str = ""
    """The cursor of the following page; empty: this is the last one."""


class Acknowledge(RequestModel):
    """The ids of events to acknowledge, and a note for them."""

    ids: Annotated[list[str], Field(min_length=1, max_length=1000)]
    note: Annotated[str, VISIBLE_LINES, Field(max_length=2000)] = ""


class Acknowledged(ResponseModel):
    """How many events were newly acknowledged."""

    count: int


class Protect(RequestModel):
    """Whether to keep an event's clip and snapshot when old ones are deleted."""

    protected: StrictBool


class StatisticsQuery(RequestModel):
    """The days to count, in the service's time zone. The default is the 7 days up to today."""

    first: Day | None = None
    last: Day | None = None
    """The last day, included; at most 400 days after the first."""
    camera: CameraId | None = None

    @model_validator(mode="after")
    def _check_days(self) -> Self:
        for day in (self.first, self.last):
            if day is not None and not 1970 <= day.year <= 9000:
                raise ValueError("a day must be between the years 1970 and 9000")
        if self.first and self.last and not 0 <= (self.last - self.first).days < MAX_STATISTICS_DAYS:
            raise ValueError(f"last must not be before first, and at most {MAX_STATISTICS_DAYS} days can be requested")
        return self


class DayStatistics(ResponseModel):
    """The events of one camera on one day, in the time zone of the statistics."""

    date: date
    camera: str
    events: int = 0
    acknowledged: int = 0
    by_type: Annotated[dict[str, int], AfterValidator(counts_by_type)] = {}
    by_priority: dict[str, int] = {}
    by_hour: list[int] = []
    """Events per hour from midnight on: 23, 24 or 25 entries."""
    highest_score: float | None = None
    mean_response: float | None = None


class Statistics(ResponseModel):
    """Statistics per day, oldest first."""

    zone: str
    days: list[DayStatistics]


class LoggerStatus(ResponseModel):
    """The state of the event logger."""

    state: str = "ok"
    """ok, behind (the database is down, locked or full), or failing (the disk cannot be written)."""
    why: str = ""
    waiting: int = 0
    """Records on disk that are not in the database yet."""
    oldest: float | None = None
    """The age of the oldest of them in seconds."""
    logged: int = 0
    written: int = 0
