"""Turns the operations of the ledger into the jobs of the API."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone

from core.api_schema import Job, JobEvent, JobFailure, JobHistoryEntry, JobPriority, JobStage, JobState
from core.operations.model import Operation, OperationFailure, StoredEvent
from core.progress import Stage

_OPERATION = re.compile(r"\boperation (\d+)(?= \()")
PRIORITIES: Mapping[JobPriority, int] = {JobPriority.LOW: -1, JobPriority.NORMAL: 0, JobPriority.HIGH: 1}


def job_of(operation: Operation, stages: Iterable[Stage] = (), events: Iterable[StoredEvent] = ()) -> Job:
    """The job of an operation, with its stages and its history."""
    return Job(
        id=operation.id,
        kind=operation.kind,
        subject=operation.subject,
        key=operation.key,
        options=operation.options,
        state=JobState(operation.state.value),
        priority=_priority(operation.priority),
        resources=operation.resources,
        why_queued=as_job(operation.why_queued),
        attempt=operation.attempt,
        created=_time(operation.created),
        started=_time(operation.started) if operation.started else None,
        ended=_time(operation.ended) if operation.ended else None,
        seconds=round(operation.seconds, 3),
        by=operation.by,
        cancel_requested=operation.cancel_requested,
        result=operation.result,
        failure=_failure(operation.failure),
        stages=[JobStage(**stage.model_dump(mode="json")) for stage in stages],
        history=[
            JobHistoryEntry(seq=event.seq, at=_time(event.time), what=event.what, by=event.by) for event in events
        ],
    )


def event_of(event: StoredEvent, operation: Operation, final_event: int) -> JobEvent:
    """The event of the streams for an entry in the history of `operation`, which is as it is now.

    `final_event` is the seq of the event with which the job ended, 0 while it is live: the outcome goes with that.
    """
    is_final = event.seq == final_event and event.state == operation.state.value
    return JobEvent(
        seq=event.seq,
        at=_time(event.time),
        job=event.operation,
        kind=operation.kind,
        subject=operation.subject,
        state=JobState(event.state or operation.state.value),
        what=event.what,
        by=event.by,
        final=is_final,
        failure=_failure(operation.failure) if is_final else None,
        result=operation.result if is_final else None,
    )


def as_job(text: str) -> str:
    """A sentence of the ledger that speaks of operations by number, about jobs."""
    return _OPERATION.sub(r"job \1", text)


def _priority(number: int) -> JobPriority:
    return JobPriority.HIGH if number > 0 else JobPriority.LOW if number < 0 else JobPriority.NORMAL


def _failure(failure: OperationFailure | None) -> JobFailure | None:
    return JobFailure(what=failure.what, why=failure.why, remedy=failure.remedy) if failure else None


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
