"""The model of an operation. Plain, frozen data: any process may read it."""

from __future__ import annotations

import time

from pydantic import BaseModel, ConfigDict, JsonValue

from core.errors import Cancelled, ChecksFailed, InputError, XaivaError
from core.open_enum import OpenEnum
from core.progress import Stage

TRACEBACK = "traceback"  # the stage of log lines that are for developers, and never shown to a user unasked


class OperationState(OpenEnum):
    """QUEUED → RUNNING → one of DONE, FAILED, CANCELLED, CRASHED.

    FAILED: the work said why. CRASHED: the process went away without a word (killed, out of memory, power).
    """

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CRASHED = "crashed"

    @property
    def live(self) -> bool:
        """Whether the operation still holds its key."""
        return self in (OperationState.QUEUED, OperationState.RUNNING)


class Snapshot(BaseModel):
    """Frozen: a snapshot of the ledger."""

    model_config = ConfigDict(frozen=True)


class OperationFailure(Snapshot):
    """Why an operation did not end well, as `XaivaError` says it; `exit_code` is what the CLI ends with."""

    what: str
    why: str = ""
    remedy: str = ""
    exit_code: int = 1

    def error(self) -> XaivaError:
        """The error to raise in the process that followed the operation."""
        kinds: dict[int, type[XaivaError]] = {2: InputError, 3: ChecksFailed, 130: Cancelled}
        return kinds.get(self.exit_code, XaivaError)(self.what, self.why, self.remedy)


class OperationEvent(Snapshot):
    """One change in an operation's life: `time` is a Unix time, `by` who asked for it ("" for nobody)."""

    time: float
    what: str
    by: str = ""


class Operation(Snapshot):
    """One row of the ledger.

    `created`, `started` and `ended` are Unix times (0: not yet) for people; `seconds` is the time worked by a clock
    that nobody can set, and is what durations are taken from. `attempt` counts the starts of this row, and fences
    off an older attempt that still lives. `log` is the path of the log file.
    """

    id: int
    kind: str
    subject: str
    key: str
    options: dict[str, JsonValue]
    state: OperationState
    attempt: int
    created: float
    started: float
    ended: float
    seconds: float
    cancel_requested: bool
    by: str
    pid: int
    log: str
    result: dict[str, JsonValue] | None = None
    failure: OperationFailure | None = None

    def title(self) -> str:
        """`sync cpu-debian12`, as people say it."""
        return f"{self.kind} {self.subject}".strip()


class Update(Snapshot):
    """What changed since the last update of one follower: new log lines, and everything else as it stands now.

    `offset` is where to go on in the log (logical bytes: what was dropped to keep the log bounded counts too).
    """

    operation: Operation
    stages: list[Stage]
    lines: list[OperationLogLine]
    offset: int


class OperationLogLine(Snapshot):
    """One line of an operation's log: the wall clock time of day, the id of its stage ("" for none), and its text."""

    clock: str
    stage: str
    text: str


class OperationBusy(XaivaError):
    """Another live operation holds the key."""

    def __init__(self, holder: Operation) -> None:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.started or holder.created))
        by = f", started by {holder.by}" if holder.by else ""
        super().__init__(
            f"{holder.subject} is busy",
            f"operation {holder.id} ({holder.title()}) holds it since {since}{by}",
            f"watch it with: xaiva ops follow {holder.id}; or end it with: xaiva ops cancel {holder.id}",
        )
        self.holder = holder
