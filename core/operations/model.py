"""The data model of operations: frozen snapshots of the ledger."""

from __future__ import annotations

import time

from pydantic import BaseModel, ConfigDict, JsonValue

from core.errors import Cancelled, ChecksFailed, InputError, XaivaError
from core.open_enum import OpenEnum
from core.progress import Stage

TRACEBACK = "traceback"  # the stage of log lines for developers, which are shown only on request


class OperationState(OpenEnum):
    """QUEUED → RUNNING → one of DONE, FAILED, CANCELLED, CRASHED.

    FAILED: the work raised an error. CRASHED: its process is gone without an outcome (killed, out of memory, power).
    """

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CRASHED = "crashed"

    @property
    def live(self) -> bool:
        """Whether the operation has not ended and therefore holds its key."""
        return self in (OperationState.QUEUED, OperationState.RUNNING)


class Snapshot(BaseModel):
    """Base of all models here: a frozen snapshot of the ledger."""

    model_config = ConfigDict(frozen=True)


LAST_OUTPUT = "; its last output:\n"  # what a crash quotes of the operation's log comes after this, line by line


class OperationFailure(Snapshot):
    """Why an operation failed, in the three sentences of `XaivaError`."""

    what: str
    why: str = ""
    remedy: str = ""
    exit_code: int = 1
    """The exit code of the command that followed the operation."""

    @property
    def summary(self) -> str:
        """What and why, without the remedy."""
        return f"{self.what}: {self.why}" if self.why else self.what

    @property
    def headline(self) -> str:
        """What and why in one line, without the last output."""
        return self.summary.partition(LAST_OUTPUT)[0].replace("\n", " ")

    def error(self) -> XaivaError:
        """The error to raise in the process that followed the operation."""
        kinds: dict[int, type[XaivaError]] = {2: InputError, 3: ChecksFailed, 130: Cancelled}
        return kinds.get(self.exit_code, XaivaError)(self.what, self.why, self.remedy)


class OperationEvent(Snapshot):
    """One entry in the history of an operation."""

    time: float
    """Unix time in seconds."""
    what: str
    by: str = ""
    """The user who requested it; empty when no user did."""


class StoredEvent(Snapshot):
    """One entry in the history of all operations."""

    seq: int
    """Grows with every event and is never used twice."""
    time: float
    """Unix time in seconds."""
    operation: int
    what: str
    by: str
    state: str
    """The state of the operation after it; empty when that is not known."""


class Operation(Snapshot):
    """One row of the ledger. Times are Unix times in seconds, 0 for not yet."""

    id: int
    kind: str
    subject: str
    key: str
    """The resource it holds while it is live, such as `preset:NAME`."""
    options: dict[str, JsonValue]
    state: OperationState
    attempt: int
    """How often it was started. The number fences off an older attempt that is still alive."""
    created: float
    started: float
    ended: float
    seconds: float
    """Time worked by the monotonic clock. Use this, not `ended - started`, for durations."""
    cancel_requested: bool
    by: str
    pid: int
    """Its supervisor's process id."""
    log: str
    """The path of its log file."""
    result: dict[str, JsonValue] | None = None
    failure: OperationFailure | None = None
    priority: int = 0
    """Of those that wait, the one with the highest priority starts first."""
    resources: list[str] = []
    """What it uses while it runs, such as `gpu:0`."""
    why_queued: str = ""
    """Why it does not run yet, in words; empty unless it waits."""
    request_key: str = ""
    """Names the request that started it: the same key never starts another operation."""

    def title(self) -> str:
        """Kind and subject, as in `sync cpu-debian12`."""
        return f"{self.kind} {self.subject}".strip()


class Update(Snapshot):
    """What a follower of an operation gets: its current state, and the log lines since the previous update."""

    operation: Operation
    stages: list[Stage]
    lines: list[OperationLogLine]
    offset: int
    """Where the log continues: a logical offset in bytes, which includes bytes dropped from the log."""


class OperationLogLine(Snapshot):
    """One line of an operation's log."""

    clock: str
    """Local time of day, HH:MM:SS; empty when the line has none."""
    stage: str
    """The id of its stage; empty when it belongs to none."""
    text: str


class OperationBusy(XaivaError):
    """Another live operation holds the key. `command` shows, follows and cancels operations of its place."""

    def __init__(self, holder: Operation, command: str = "xaiva ops") -> None:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.started or holder.created))
        by = f", started by {holder.by}" if holder.by else ""
        who = f"operation {holder.id} ({holder.title()})"
        why = f"{who} has been using it since {since}{by}"
        if holder.why_queued:
            why = f"{who} has been queued for it since {since}{by} ({holder.why_queued})"
        super().__init__(
            f"{holder.subject or holder.kind} is busy",
            why,
            f"watch it: {command} follow {holder.id}; or cancel it: {command} cancel {holder.id}",
        )
        self.holder = holder
