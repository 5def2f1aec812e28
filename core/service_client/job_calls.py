"""The routes of jobs as typed methods."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import ValidationError

from core.api_schema import (
    Job,
    JobEvent,
    JobFilter,
    JobHeartbeat,
    JobKind,
    JobLines,
    JobLog,
    JobPage,
    JobQuery,
    JobRequest,
    JobResync,
    JobSnapshot,
)
from core.api_schema.base import LENIENT
from core.api_schema.jobs import JOB_MESSAGE
from core.service_client.calls import STREAM_SILENCE, Calls
from core.service_client.errors import BrokenConnection, Forbidden, NotLoggedIn, ServiceError, VersionMismatch
from core.service_client.output_file import open_output_file

Message: TypeAlias = JobEvent | JobSnapshot | JobLines | JobHeartbeat | JobResync
JobFormat = Literal["csv", "json"]

MAX_FAILURES_IN_A_ROW = 8  # of connections without a message in between
RECONNECT_SECONDS = 0.5  # before the second attempt; twice as long before each further one
MAX_RECONNECT_SECONDS = 5.0


class JobCalls(Calls):
    """The service's jobs. All methods raise as those of `ServiceClient`."""

    def start(self, request: JobRequest, *, key: str = "") -> Job:
        """Start a job, or queue it. Raises InputError for what it cannot work with, or when a live job does the same.

        `key` names this request (default: a new one): when the connection breaks, it is sent once more, and the
        service starts no second job.
        """
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        try:
            response = self._transport.send("POST", "/jobs", request, headers=headers)
        except BrokenConnection:
            response = self._transport.send("POST", "/jobs", request, headers=headers)
        return self._transport.read_leniently(response.text, Job)

    def page(self, query: JobQuery | None = None) -> JobPage:
        """One page of jobs, newest first. Its `next` is the `cursor` of the following page."""
        return self._get("/jobs", JobPage, query)

    def all(self, query: JobQuery | None = None) -> Iterator[Job]:
        """Yield all matching jobs, page by page."""
        query = query or JobQuery()
        while True:
            page = self.page(query)
            yield from page.jobs
            if not page.next:
                return
            query = query.model_copy(update={"cursor": page.next})

    def get(self, job: int) -> Job:
        """A job with its stages and its history."""
        return self._get(f"/jobs/{job}", Job)

    def log(self, job: int, offset: int = 0, limit: int = 1000) -> JobLog:
        """Lines of the job's log from `offset` on."""
        query = {"offset": offset, "limit": limit}
        return self._transport.read_leniently(self._transport.send("GET", f"/jobs/{job}/log", query=query).text, JobLog)

    def cancel(self, job: int) -> Job:
        """Cancel a job, which takes a second at most. One that has ended stays as it is."""
        return self._request("POST", f"/jobs/{job}/cancel", Job)

    def retry(self, job: int) -> Job:
        """Start a job again that failed, crashed or was cancelled."""
        return self._request("POST", f"/jobs/{job}/retry", Job)

    def kinds(self) -> list[JobKind]:
        """The kinds of jobs, by name."""
        return self._get("/jobs/kinds", list[JobKind])

    def export(self, target: Path, kind: JobFormat, query: JobFilter | None = None) -> Path:
        """Save all matching jobs in `target`, replacing it. Raises InputError if it cannot be written."""
        with open_output_file(target) as file:
            for piece in self.export_parts(kind, query):
                file.write(piece)
        return target

    def export_parts(self, kind: JobFormat, query: JobFilter | None = None) -> Iterator[bytes]:
        """Yield all matching jobs as one document."""
        filters = query.model_dump(mode="json", exclude_defaults=True) if query else {}
        with self._transport.stream("/jobs/export", {**filters, "format": kind}, {}, STREAM_SILENCE) as response:
            yield from response.iter_bytes()

    def follow(self, job: int, *, after: int = 0, offset: int = 0) -> Iterator[Message]:
        """Yield the messages of a job until its final event, which comes last; broken connections are resumed.

        `after` and `offset` are where an earlier reader stopped: the seq of its last event, and in the log.
        """
        failures = 0
        while True:
            try:
                for message in self._messages(f"/jobs/{job}/stream", {"after": after, "offset": offset}):
                    failures = 0
                    if isinstance(message, JobEvent):
                        after = message.seq
                    elif isinstance(message, JobLines):
                        offset = message.next
                    yield message
                    if isinstance(message, JobEvent) and message.final:
                        return
            except ServiceError as error:
                failures += 1
                if isinstance(error, (Forbidden, NotLoggedIn, VersionMismatch)) or failures >= MAX_FAILURES_IN_A_ROW:
                    raise
            time.sleep(min(RECONNECT_SECONDS * 2 ** max(failures - 1, 0), MAX_RECONNECT_SECONDS))

    def stream(self, after: int | None = None) -> Iterator[Message]:
        """Yield the messages of all jobs. Raises ServiceError when the stream ends or breaks."""
        yield from self._messages("/jobs/stream", {} if after is None else {"after": after})

    def _messages(self, path: str, query: dict[str, float]) -> Iterator[Message]:
        for text in self._stream(path, query):
            with suppress(ValidationError):  # of a kind that only a newer service has
                yield JOB_MESSAGE.validate_json(text, context=LENIENT)
