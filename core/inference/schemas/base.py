"""What every answer of the inference service shares. Pydantic only: the console reads these without heavy imports."""

from __future__ import annotations

from datetime import datetime, time, timezone
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

SERVICE_NAME = "xaiva-inference"
API_VERSION = 2  # raised when an older client or service can no longer understand the other

CameraId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$")]  # of a user, a rule, an agent flow
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]  # of an event's type
Share = Annotated[float, Field(ge=0, le=1)]
Weekday = Annotated[int, Field(ge=0, le=6)]  # 0 is Monday


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc)


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Said(BaseModel):
    """What the service answers. Unknown keys are ignored, so that an older console can read a newer service."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Asked(BaseModel):
    """What the service is asked. Unknown keys are refused: a misspelt setting must not be lost in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Window(Asked):
    """Hours of some days in the service's zone; `end` at or before `start` runs over midnight into the next day."""

    days: Annotated[tuple[Weekday, ...], Field(max_length=7)] = (0, 1, 2, 3, 4, 5, 6)
    start: time = time(0, 0)
    end: time = time(0, 0)


Schedule = Annotated[tuple[Window, ...], Field(max_length=21)]  # empty: always


class Problem(Said):
    """The body of every answer that is an error, for the reader."""

    what: str
    why: str = ""
    remedy: str = ""


class Health(Said):
    """`live`: the process answers and watches its cameras; `ready`: its cameras have been started.

    `database` is empty when it works, else a sentence; events are kept on disk in the meantime.
    """

    live: bool
    ready: bool
    version: str
    detail: str = ""
    service: str = ""
    api: int = 0
    database: str = ""
